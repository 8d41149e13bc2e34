-- Fragment: the end of a job, in one step with its result: the value is the fold of its log, which is kept. Where ends are
-- promised only once replicas hold them (`WITHHELD`, which stands before this) it is kept here, and told by `tell`. What only
-- a worker needs goes first, so that a full memory refuses no end. A job that was given up (`dead`) keeps its request.

-- About how many bytes a job takes beside its texts: names, indexes, the nodes of its log.
local JOB_BYTES = 1024

local function settle(id, state, epoch, new_epoch, seq, payload, retention, grace, cost, dead)
    local job = JOB .. id
    redis.call('ZREM', WAIT, id)
    redis.call('ZREM', UNVIEWED, id)
    redis.call('UNLINK', VIEW .. id, RAW .. id)
    local held = redis.call('HMGET', job, 'tenant', 'asked', 'cost', 'claims', 'name', 'tok', 'tail', 'st')
    let_go(id, held[6])
    leave_line(id, held[1])
    local bytes = redis.call('HSTRLEN', job, 'snap') + redis.call('HSTRLEN', job, 'shape')
        + tonumber(held[7] or 0) + #payload + JOB_BYTES
    redis.call('HDEL', job, 'rec', 'cancel')
    if dead then
        bytes = bytes + redis.call('HSTRLEN', job, 'spec')
    else
        redis.call('HDEL', job, 'spec')
    end
    local at = now()
    if WITHHELD then
        -- Readers are told where it stood until `tell` writes it.
        redis.call('HSET', job, 'st', state, 'end', at, 'fin', payload, 'finat', new_epoch .. ' ' .. seq, 'told', held[8])
        redis.call('ZADD', UNTOLD, at, id)
    else
        write(job, LOG .. id, LIVE .. id, epoch, new_epoch, seq, 'end', payload, {'st', state, 'end', at})
    end
    if redis.call('DECRBY', ASKED, held[2] or 0) <= 0 then redis.call('DEL', ASKED) end
    if tonumber(held[4] or 0) > 0 then charge(held[1], cost - tonumber(held[3] or 0)) end
    local ms = retention + grace
    if dead then
        keep(id, DEAD, DEAD_SIZES, at, bytes, ms)
    else
        keep(id, ENDED, SIZES, at, bytes, ms)
    end
    if held[5] then redis.call('PEXPIRE', held[5], ms) end
end

local function wait(id, token, epoch, new_epoch, seq, payload, until_ms, fields)
    let_go(id, token)
    fields[#fields + 1] = 'st'
    fields[#fields + 1] = 'waiting'
    write(JOB .. id, LOG .. id, LIVE .. id, epoch, new_epoch, seq, 'status', payload, fields)
    redis.call('ZADD', WAIT, until_ms, id)
end

-- Why a step that ends the delivery of `token` is not taken; nil where it is. `cancels` says that the write is the end
-- of a cancelled job.
local function refuse(id, token, write_epoch, write_seq, opens, cancels)
    local held = redis.call('HMGET', JOB .. id, 'st', 'tok', 'epoch', 'seq', 'cancel', 'finat')
    local last = tonumber(held[4] or 0)
    if held[1] ~= 'running' or held[2] ~= token then
        -- It was taken before: its answer was lost.
        local there = held[3] == write_epoch and last == write_seq
        local same = held[2] == token and (there or held[6] == write_epoch .. ' ' .. write_seq)
        return {(held[1] and held[1] ~= 'running' and same) and 'dup' or 'lost'}
    end
    -- The delivery runs, so what stands there is another event: an append whose answer its writer never had.
    if fit(JOB .. id, held[3], last, write_epoch, write_seq, opens) ~= 'next' then
        return {'rolled_back', held[3], last}
    end
    if held[5] and not cancels then return {'cancel'} end
    return nil, held[3]
end
