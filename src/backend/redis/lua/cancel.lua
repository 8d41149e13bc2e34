-- Asks for a job's end. A running one is flagged and its worker hinted. Any other ends at once; its end is made by the
-- caller, out of what the first answer says, and taken only where the log still ends there.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 grace ms of its worker, 3 channel of hints, 4 whether only what is given up (1 or 0), and to end it:
--       5 epoch, 6 seq of the end, 7 the end, 8 retention ms, 9 grace ms, 10 cost
-- Returns nil for an unknown job · {'already', state} · {'requested'} · {'now'} · {'viewed'} it is not given up ·
--         {'idle', seq, ms unviewed or nil, submitted, first claimed or nil, attempt record or nil, now}: send it with its end

local id = ARGV[1]
local held = look_at(id, 'sub', 'claimed', 'rec', 'end', 'given')
if not held.st then return nil end
if held[4] then return {'already', held.st} end
if ARGV[4] == '1' and not held[5] then return {'viewed'} end
if held.st == 'running' then
    redis.call('ZREM', UNVIEWED, id)
    if not held.cancel then
        local at = now()
        redis.call('HSET', JOB .. id, 'cancel', at)
        redis.call('ZADD', CANCEL, at + tonumber(ARGV[2]), id)
    end
    redis.call('PUBLISH', ARGV[3], id)
    return {'requested'}
end
local seq = held.seq + 1
if not ARGV[5] or tonumber(ARGV[6]) ~= seq then
    return {'idle', seq, held[5] and held.unv, held[1], held[2], held[3], now()}
end
settle(id, held, 'cancelled', ARGV[5], seq, ARGV[7], whole(ARGV[8] + ARGV[9]), ARGV[10])
close()
return {'now'}
