-- Gives up jobs that nobody has viewed for their time: says so on each, and leaves it to `cancel` to end it.
--
-- KEYS  the shard's
-- ARGV  1 how many at most (500), 2 ms after which a node that says nothing has gone
-- Returns their ids

let_through()
local at, due = now(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', UNVIEWED, '-inf', at, 'LIMIT', 0, ARGV[1])) do
    local held = redis.call('HMGET', JOB .. id, 'st', 'end', 'cancel', 'unv')
    local said = tonumber(redis.call('ZREVRANGE', VIEW .. id, 0, 0, 'WITHSCORES')[2] or 0)
    if not held[1] or held[2] or held[3] then
        redis.call('ZREM', UNVIEWED, id)
    elseif said + ARGV[2] > at then
        -- It has a viewer: its node was heard of lately.
        redis.call('ZADD', UNVIEWED, said + ARGV[2] + (held[4] or 0), id)
    else
        redis.call('HSET', JOB .. id, 'given', '1')
        due[#due + 1] = id
    end
end
return due
