-- Takes back what `overdue` found, each only where nothing has changed since: the same delivery, the same end of the
-- log, still overdue.
--
-- KEYS  the shard's
-- ARGV  1 retention ms, 2 grace ms, 3 ms that a dead letter is kept, then of each, at most 100: id, token, seq of the
--       write, epoch, kind, payload, state that it leads to, cost, whether it becomes a dead letter (1 or 0)
-- Returns for each: 1 where it was taken

local at, taken = now(), {}
for i = 4, #ARGV, 9 do
    local id, token, seq, epoch, kind, payload, state, cost =
        ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
    local held = look_at(id, 'loss')
    local lease, cancel = redis.call('ZSCORE', LEASE, id), redis.call('ZSCORE', CANCEL, id)
    local overdue = (lease and tonumber(lease) <= at) or (cancel and tonumber(cancel) <= at)
    local same = held.st == 'running' and held.tok == token and held.seq + 1 == seq
    local fits = (state == 'cancelled') == (held.cancel and true or false)
    if not held.st then
        -- Its keys are gone, by a hand from outside.
        let_go_of_none(id, token)
        taken[#taken + 1] = 0
    elseif overdue and same and fits then
        if kind == 'end' then
            local dead = ARGV[i + 8] == '1'
            settle(id, held, state, epoch, seq, payload, whole((dead and ARGV[3] or ARGV[1]) + ARGV[2]), cost, dead)
            redis.call('HDEL', JOB .. id, 'tok')
        else
            let_go(id, held.tenant, token)
            flush()
            redis.call('HDEL', JOB .. id, 'tok')
            write(JOB .. id, LOG .. id, LIVE .. id, held.epoch, epoch, seq, kind, payload,
                {'st', state, 'loss', (held[1] or 0) + 1})
            enter_line(id, held.tenant, RECOVERED, at)
        end
        taken[#taken + 1] = 1
    else
        taken[#taken + 1] = 0
    end
    -- What follows may fail at a job that cannot be read.
    close()
end
return taken
