-- Ends that whoever wrote them has not told. One whose job is gone is forgotten.
--
-- KEYS  the shard's
-- ARGV  1 how many at most (100), 2 ms that whoever writes one has to tell it
-- Returns for each {id, the end}

let_through()
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', UNTOLD, '-inf', now() - ARGV[2], 'LIMIT', 0, ARGV[1])) do
    local kept = redis.call('HGET', JOB .. id, 'fin')
    if kept then
        found[#found + 1] = {id, kept}
    else
        redis.call('ZREM', UNTOLD, id)
    end
end
return found
