-- A node says whether it has viewers of a job that does not go on without any.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 node, 3 whether it has any (1 or 0), 4 ms after which a node that says nothing has gone

local id, at, gone = ARGV[1], now(), tonumber(ARGV[4])
local held = redis.call('HMGET', JOB .. id, 'unv', 'end', 'cancel')
if not held[1] or held[2] or held[3] then return 0 end
let_through()
if ARGV[3] == '1' then
    redis.call('ZADD', VIEW .. id, at, ARGV[2])
    redis.call('PEXPIRE', VIEW .. id, gone)
    redis.call('HDEL', JOB .. id, 'given')
    -- Where no node says it again, that was the last.
    redis.call('ZADD', UNVIEWED, at + gone + held[1], id)
elseif redis.call('ZREM', VIEW .. id, ARGV[2]) == 1 then
    redis.call('ZREMRANGEBYSCORE', VIEW .. id, '-inf', at - gone)
    if redis.call('EXISTS', VIEW .. id) == 0 then redis.call('ZADD', UNVIEWED, at + held[1], id) end
end
return 1
