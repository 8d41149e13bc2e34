-- Takes a shard forward from layout 2, in which a tenant's line had no bands of priority, the line of all was by band, and
-- nothing was known of who runs and who waits. Each step may be taken again.
--
-- KEYS  the shard's
-- ARGV  1 part: `line` (the bands), then `ready`, `lease`, `wait` (what is known of the jobs there), 2 where to begin,
--       3 how many at most (500)
-- Returns where to go on, or nil where the part is done

local part, from, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

if part == 'line' then
    -- All jobs in line but those that had lost their worker stood in the band 1.
    local found = redis.call('ZRANGEBYSCORE', READY, BAND, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
    for i = 1, #found, 2 do
        local id, at = found[i], found[i + 1] - BAND
        local tenant = redis.call('HGET', JOB .. id, 'tenant') or ''
        redis.call('ZADD', READY, at, id)
        redis.call('ZADD', LINE .. tenant, NORMAL * BAND + at, id)
    end
    return #found > 0 and 0 or nil
end

local index = ({ready = READY, lease = LEASE, wait = WAIT})[part]
local ids = redis.call('ZRANGE', index, from, from + count - 1)
for _, id in ipairs(ids) do
    local tenant = redis.call('HGET', JOB .. id, 'tenant')
    if tenant then
        redis.call('SADD', OWN .. tenant, id)
        if part == 'ready' then seat(tenant) end
        if part == 'lease' then
            redis.call('SADD', RUN .. tenant, id)
            redis.call('HSET', WHOSE, id, tenant)
        end
    end
end
return #ids > 0 and from + count or nil
