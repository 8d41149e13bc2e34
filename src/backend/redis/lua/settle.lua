-- Fragment: the end of a job, in one step with its result: the value is the fold of its log, which is kept. Where ends are
-- promised only once replicas hold them (`WITHHELD`, which stands before this) it is kept here, and told by `tell`. What only
-- a worker needs goes first, so that a full memory refuses no end. A job that was given up (`dead`) keeps its request.

-- About how many bytes a job takes beside its texts: names, indexes, the nodes of its log.
local JOB_BYTES = 1024

-- What a step looks at before it ends a delivery or a job: by name, and what else is asked for by its place.
local function look_at(id, ...)
    local held = redis.call('HMGET', JOB .. id, 'st', 'tok', 'epoch', 'seq', 'cancel', 'tenant', 'asked', 'cost', 'name',
        'tail', 'snapseq', 'shape', 'unv', ...)
    return {
        st = held[1], tok = held[2], epoch = held[3], seq = tonumber(held[4]), cancel = held[5], tenant = held[6],
        asked = held[7], cost = held[8], name = held[9], tail = held[10], snapseq = held[11], shape = held[12],
        unv = held[13], unpack(held, 14, 13 + select('#', ...))
    }
end

-- Ends a job that was looked at, and keeps it for so many ms. `close` ends the step.
local function settle(id, held, state, new_epoch, seq, payload, ms, cost, dead)
    local job, tenant = JOB .. id, held.tenant
    local bytes = #(held.shape or '') + tonumber(held.tail or 0) + #payload + JOB_BYTES
    if held.snapseq then bytes = bytes + redis.call('HSTRLEN', job, 'snap') end
    if dead then
        bytes = bytes + redis.call('HSTRLEN', job, 'spec')
        redis.call('HDEL', job, 'rec', 'cancel')
    else
        redis.call('HDEL', job, 'rec', 'cancel', 'spec')
    end
    -- Whose log has no text has no raw one either.
    if held.tail then redis.call('UNLINK', RAW .. id) end
    if held.unv then redis.call('UNLINK', VIEW .. id) end
    if WITHHELD then
        -- Readers are told where it stood until `tell` writes it.
        redis.call('HSET', job, 'st', state, 'end', stamp(), 'fin', payload, 'finat', new_epoch .. ' ' .. seq,
            'told', held.st)
        later('ZADD', UNTOLD, stamp(), id)
    else
        write(job, LOG .. id, LIVE .. id, held.epoch, new_epoch, seq, 'end', payload, {'st', state, 'end', stamp()})
    end
    -- A job is charged once it runs for the first time.
    local charged = held.st == 'running' or redis.call('HEXISTS', job, 'claims') == 1
    if dead then
        keep(id, DEAD, DEAD_SIZES, bytes, ms)
    else
        keep(id, ENDED, SIZES, bytes, ms)
    end
    if held.name then redis.call('PEXPIRE', held.name, ms) end
    if held.unv then later('ZREM', UNVIEWED, id) end

    if held.st == 'running' then
        let_go(id, tenant, held.tok, held.cancel)
    elseif held.st == 'waiting' then
        later('ZREM', WAIT, id)
    else
        leave_line(id, tenant)
    end
    later('SREM', OWN .. tenant, id)
    ask(-(held.asked or 0))
    if charged then charges[tenant] = (charges[tenant] or 0) + cost - (held.cost or 0) end
end

-- Puts a job back whose delivery is over. What is freed goes first. Why it waits is kept for lists (`why`), which do not read
-- logs, with the seq that says so: once the log goes on it means nothing, whoever puts the job elsewhere.
local function wait(id, held, new_epoch, seq, payload, until_ms, fields)
    let_go(id, held.tenant, held.tok, held.cancel)
    flush()
    fields[#fields + 1] = 'st'
    fields[#fields + 1] = 'waiting'
    fields[#fields + 1] = 'why'
    fields[#fields + 1] = whole(seq) .. ' ' .. payload
    write(JOB .. id, LOG .. id, LIVE .. id, held.epoch, new_epoch, seq, 'status', payload, fields)
    redis.call('ZADD', WAIT, until_ms, id)
end

-- Why a step that ends the delivery of `token` is not taken; nil where it is. `cancels` says that the write is the end
-- of a cancelled job.
local function refuse(id, held, token, write_epoch, write_seq, opens, cancels)
    local last = held.seq or 0
    if held.st ~= 'running' or held.tok ~= token then
        -- It was taken before: its answer was lost.
        if not held.st or held.st == 'running' or held.tok ~= token then return {'lost'} end
        local there = held.epoch == write_epoch and last == write_seq
        local kept = not there and redis.call('HGET', JOB .. id, 'finat')
        return {(there or kept == write_epoch .. ' ' .. whole(write_seq)) and 'dup' or 'lost'}
    end
    -- The delivery runs, so what stands there is another event: an append whose answer its writer never had.
    if fit(JOB .. id, held.epoch, last, write_epoch, write_seq, opens) ~= 'next' then
        return {'rolled_back', held.epoch, last}
    end
    if held.cancel and not cancels then return {'cancel'} end
end
