-- Gives up jobs that nobody has viewed for their time: says so on each, and leaves it to `cancel` to end it.
--
-- KEYS  the shard's
-- ARGV  1 how many at most (500)
-- Returns their ids

let_through()
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', UNVIEWED, '-inf', now(), 'LIMIT', 0, ARGV[1])) do
    local held = redis.call('HMGET', JOB .. id, 'st', 'end', 'cancel')
    if not held[1] or held[2] or held[3] then
        redis.call('ZREM', UNVIEWED, id)
    else
        redis.call('HSET', JOB .. id, 'given', '1')
        due[#due + 1] = id
    end
end
return due
