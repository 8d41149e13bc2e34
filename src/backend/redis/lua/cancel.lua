-- Asks for a job's end. A running one is flagged and its worker hinted. Any other ends at once; its end is made by the
-- caller, out of what the first answer says, and taken only where the log still ends there.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 grace ms of its worker, 3 channel of hints, and to end it: 4 epoch, 5 seq of the end, 6 the end,
--       7 retention ms, 8 grace ms, 9 cost
-- Returns nil for an unknown job · {'already', state} · {'requested'} · {'now'} ·
--         {'idle', seq, submitted, first claimed or nil, attempt record or nil, now}: send it with its end

local id = ARGV[1]
local held = redis.call('HMGET', JOB .. id, 'st', 'epoch', 'seq', 'cancel', 'sub', 'claimed', 'rec', 'end')
if not held[1] then return nil end
if held[8] then return {'already', held[1]} end
if held[1] == 'running' then
    if not held[4] then
        let_through()
        local at = now()
        redis.call('HSET', JOB .. id, 'cancel', at)
        redis.call('ZADD', CANCEL, at + tonumber(ARGV[2]), id)
    end
    redis.call('PUBLISH', ARGV[3], id)
    return {'requested'}
end
local seq = tonumber(held[3]) + 1
if not ARGV[4] or tonumber(ARGV[5]) ~= seq then
    return {'idle', seq, held[5], held[6], held[7], now()}
end
settle(id, 'cancelled', held[2], ARGV[4], seq, ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]))
return {'now'}
