-- Gives the next job to a worker under a lease: one that lost its worker, else, of the tenant that was served least, the
-- one of the highest priority that waits longest. Sent again while the delivery runs, it gives the same one.
--
-- KEYS  the shard's
-- ARGV  1 nonce, 2 epoch, 3 lease ms, 4 `status: running`
-- Returns nil where nothing is in line that may be given, else {id, token, spec, now, submitted, first claimed, line of epochs, epoch,
--         seq, snapshot or nil, entries behind it, raw text, attempt record or nil}
-- Work: one job; tenants that may not be served are put aside and names in line whose job is gone are passed over, at most
--       100 together.

local at = now()

local function give(id)
    local held = redis.call('HMGET', JOB .. id,
        'tok', 'spec', 'sub', 'claimed', 'lin', 'epoch', 'seq', 'snapseq', 'snap', 'rec')
    local entries = redis.call('XRANGE', LOG .. id, '(' .. (held[8] or 0) .. '-0', '+')
    return {id, held[1], held[2], at, held[3], held[4], held[5], held[6], tonumber(held[7]), held[9], entries,
        redis.call('GET', RAW .. id) or '', held[10]}
end

let_through()
local before = redis.call('HGET', GIVEN, ARGV[1])
if before and redis.call('HGET', JOB .. before, 'spec') then
    redis.call('ZADD', LEASE, at + tonumber(ARGV[3]), before)
    return give(before)
end
if redis.call('SISMEMBER', PAUSED, '') == 1 then return nil end

for _ = 1, 100 do
    local id, tenant = next_in_line()
    if not tenant then return nil end
    local job = JOB .. (id or '')
    local held = redis.call('HMGET', job, 'st', 'epoch', 'seq', 'claims', 'dels', 'claimed', 'spec')
    if (held[1] == 'queued' or held[1] == 'recovering') and held[7] then
        local claims = tonumber(held[4] or 0) + 1
        write(job, LOG .. id, LIVE .. id, held[2], ARGV[2], tonumber(held[3]) + 1, 'status', ARGV[4],
            {'st', 'running', 'tok', claims .. '.' .. ARGV[1], 'claims', claims,
                'dels', tonumber(held[5] or 0) + 1, 'claimed', held[6] or at})
        redis.call('HSET', GIVEN, ARGV[1], id)
        hold(id, tenant, at + tonumber(ARGV[3]))
        drain(at)
        return give(id)
    elseif id then
        redis.call('SREM', OWN .. tenant, id)
    end
end
return nil
