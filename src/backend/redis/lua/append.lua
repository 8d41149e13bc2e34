-- Writes entries and their checkpoints (raw text, attempt record, snapshot) of any number of jobs of one shard. Each is
-- fenced by the token and by (epoch, seq), and is a step of its own: what becomes of one is nothing to the others.
--
-- KEYS  of each: job, raw, log
-- ARGV  of each: channel, token, epoch, seq, opens (1 or 0), kind, payload, raw text, raw text anew (1 or 0),
--       attempt record or '', snapshot at this entry or ''
-- Returns of each: {'ok'} · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'} · {'error', what Redis said}
-- Work: of each, one entry, and the trimming of those behind the stored snapshot.

local KEYS_EACH, ARGS_EACH = 3, 11

local function append(number, channel, token, epoch, seq, opens, kind, payload, text, anew, record, snapshot)
    local job, raw, log = unpack(KEYS, (number - 1) * KEYS_EACH + 1, number * KEYS_EACH)
    local held = redis.call('HMGET', job, 'st', 'tok', 'epoch', 'seq', 'cancel', 'loss', 'tail')
    if held[1] ~= 'running' or held[2] ~= token then return {'lost'} end
    seq = tonumber(seq)
    local last = tonumber(held[4])
    local place = fit(job, held[3], last, epoch, seq, opens == '1')
    if place == 'dup' then return {'dup'} end
    if place == 'back' then return {'rolled_back', held[3], last} end
    if held[5] then return {'cancel'} end

    local fields = {'tail', snapshot == '' and tonumber(held[7] or 0) + #payload or 0}
    -- Beginning an attempt is no progress: a job may kill its workers right behind that.
    if kind == 'patch' and held[6] and held[6] ~= '0' then
        fields[#fields + 1] = 'loss'
        fields[#fields + 1] = 0
    end
    if record ~= '' then
        fields[#fields + 1] = 'rec'
        fields[#fields + 1] = record
    end
    if snapshot ~= '' then
        fields[#fields + 1] = 'snap'
        fields[#fields + 1] = snapshot
        fields[#fields + 1] = 'snapseq'
        fields[#fields + 1] = seq
    end
    write(job, log, channel, held[3], epoch, seq, kind, payload, fields)
    if snapshot ~= '' then redis.call('XTRIM', log, 'MINID', seq + 1) end
    if anew == '1' then redis.call('DEL', raw) end
    if text ~= '' then redis.call('APPEND', raw, text) end
    return {'ok'}
end

-- Where memory is full, a script is let write whose first command that writes is one that needs none: this one changes
-- nothing, since a raw text never expires by itself (a job that has ended does). What is wrong with the server itself, not
-- with a job, is met here, and is the answer to all.
redis.call('PERSIST', KEYS[2])
return each(0, ARGS_EACH, append)
