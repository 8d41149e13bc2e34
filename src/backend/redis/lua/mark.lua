-- Writes on jobs that something was promised of, so that whoever waits for replicas behind this waits for all before it.
--
-- KEYS  the shard's
-- ARGV  their ids, at most 4,096
-- Returns for each: 1 where it is there
-- Errors  none where memory is full: the first command frees.

local found = {}
for i, id in ipairs(ARGV) do
    found[i] = redis.call('EXISTS', JOB .. id)
    if found[i] == 1 then
        redis.call('HDEL', JOB .. id, 'mark')
        redis.call('HSET', JOB .. id, 'mark', now())
    end
end
return found
