-- The jobs that were given up, the newest first, or one of them with its request. Changes nothing.
--
-- KEYS  the shard's
-- ARGV  1 how many at most (100), 2 the one that is meant, or ''
-- Returns for each {id, tenant, submitted, given up, now, the end; and of the one: request, shape}

local found = {}
local ids = ARGV[2] ~= '' and {ARGV[2]} or redis.call('ZREVRANGE', DEAD, 0, ARGV[1] - 1)
for _, id in ipairs(ids) do
    local died = redis.call('ZSCORE', DEAD, id)
    local held = redis.call('HMGET', JOB .. id, 'tenant', 'sub', 'fin')
    local last = redis.call('XREVRANGE', LOG .. id, '+', '-', 'COUNT', 1)[1]
    if died and held[1] and last and not held[3] then
        local one = {id, held[1], held[2], died, now(), last[2][8]}
        if ARGV[2] ~= '' then
            one[7] = redis.call('HGET', JOB .. id, 'spec')
            one[8] = redis.call('HGET', JOB .. id, 'shape')
        end
        found[#found + 1] = one
    end
end
return found
