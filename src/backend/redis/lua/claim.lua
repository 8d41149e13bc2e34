-- Gives the next job to a worker under a lease: of the tenant that was served least, the one that waits longest.
--
-- KEYS  the shard's
-- ARGV  1 nonce, 2 epoch, 3 lease ms, 4 `status: running`
-- Returns nil where nothing is in line, else {id, token, spec, now, submitted, first claimed, line of epochs, epoch,
--         seq, snapshot or nil, entries behind it, raw text, attempt record or nil}
-- Work: one job; names in line whose job is gone are passed over, at most 100.

for _ = 1, 100 do
    local id = next_in_line()
    if not id then return nil end
    local job = JOB .. id
    local held = redis.call('HMGET', job, 'st', 'epoch', 'seq', 'claims', 'dels', 'sub', 'claimed', 'spec')
    if (held[1] == 'queued' or held[1] == 'recovering') and held[8] then
        local at, seq = now(), tonumber(held[3]) + 1
        local claims = tonumber(held[4] or 0) + 1
        local token = claims .. '.' .. ARGV[1]
        local first = held[7] or at
        write(job, LOG .. id, LIVE .. id, held[2], ARGV[2], seq, 'status', ARGV[4],
            {'st', 'running', 'tok', token, 'claims', claims, 'dels', tonumber(held[5] or 0) + 1, 'claimed', first})
        redis.call('ZADD', LEASE, at + tonumber(ARGV[3]), id)
        local now_held = redis.call('HMGET', job, 'lin', 'snapseq', 'snap', 'rec')
        local entries = redis.call('XRANGE', LOG .. id, '(' .. (now_held[2] or 0) .. '-0', '+')
        return {id, token, held[8], at, held[6], first, now_held[1], ARGV[2], seq, now_held[3], entries,
            redis.call('GET', RAW .. id) or '', now_held[4]}
    end
end
return nil
