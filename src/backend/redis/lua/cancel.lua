-- Asks for a job's end. A running one is flagged and its worker hinted. Any other ends at once; its end is made by the
-- caller, out of what the first answer says, and taken only where the log still ends there.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 grace ms of its worker, 3 channel of hints, 4 whether only what is given up (1 or 0), and to end it:
--       5 epoch, 6 seq of the end, 7 the end, 8 retention ms, 9 grace ms, 10 cost
-- Returns nil for an unknown job · {'already', state} · {'requested'} · {'now'} · {'viewed'} it is not given up ·
--         {'idle', seq, ms unviewed or nil, submitted, first claimed or nil, attempt record or nil, now}: send it with its end

local id = ARGV[1]
local held = redis.call('HMGET', JOB .. id,
    'st', 'epoch', 'seq', 'cancel', 'sub', 'claimed', 'rec', 'end', 'given', 'unv')
if not held[1] then return nil end
if held[8] then return {'already', held[1]} end
if ARGV[4] == '1' and not held[9] then return {'viewed'} end
if held[1] == 'running' then
    redis.call('ZREM', UNVIEWED, id)
    if not held[4] then
        local at = now()
        redis.call('HSET', JOB .. id, 'cancel', at)
        redis.call('ZADD', CANCEL, at + tonumber(ARGV[2]), id)
    end
    redis.call('PUBLISH', ARGV[3], id)
    return {'requested'}
end
local seq = tonumber(held[3]) + 1
if not ARGV[5] or tonumber(ARGV[6]) ~= seq then
    return {'idle', seq, held[9] and held[10], held[5], held[6], held[7], now()}
end
settle(id, 'cancelled', held[2], ARGV[5], seq, ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]))
return {'now'}
