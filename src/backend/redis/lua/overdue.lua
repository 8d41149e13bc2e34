-- Looks for leases that ran out, and for cancelled jobs whose worker has not ended them in time. Changes nothing.
--
-- KEYS  the shard's
-- ARGV  1 how many at most (500)
-- Returns for each {id, token, seq, cancel or nil, losses, ms unviewed where it is given up or nil, submitted, first claimed or nil, attempt record or nil, now}

local at, limit = now(), tonumber(ARGV[1])
local found, seen = {}, {}
for _, index in ipairs({CANCEL, LEASE}) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', at, 'LIMIT', 0, limit)) do
        if not seen[id] and #found < limit then
            seen[id] = true
            local held = redis.call('HMGET', JOB .. id, 'tok', 'seq', 'cancel', 'loss', 'sub', 'claimed', 'rec', 'given', 'unv')
            found[#found + 1] =
                {id, held[1] or '', held[2] or 0, held[3], held[4] or 0, held[8] and held[9], held[5] or at, held[6], held[7], at}
        end
    end
end
return found
