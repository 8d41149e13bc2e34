-- Writes an entry and its checkpoint: raw text, attempt record, snapshot. Fenced by the token and by (epoch, seq).
--
-- KEYS  job, raw, log
-- ARGV  1 channel, 2 token, 3 epoch, 4 seq, 5 opens (1 or 0), 6 kind, 7 payload, 8 raw text, 9 raw text anew (1 or 0),
--       10 attempt record or '', 11 snapshot at this entry or ''
-- Returns {'ok'} · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'}
-- Work: one entry, and the trimming of those behind the stored snapshot.

local job, raw, log = KEYS[1], KEYS[2], KEYS[3]
local seq = tonumber(ARGV[4])
local held = redis.call('HMGET', job, 'st', 'tok', 'epoch', 'seq', 'cancel', 'loss', 'snapseq', 'tail')
if held[1] ~= 'running' or held[2] ~= ARGV[2] then return {'lost'} end
local last = tonumber(held[4])
local place = fit(job, held[3], last, ARGV[3], seq, ARGV[5] == '1')
if place == 'dup' then return {'dup'} end
if place == 'back' then return {'rolled_back', held[3], last} end
if held[5] then return {'cancel'} end

-- Trimming comes first: a step whose first command frees is let through where memory is full.
redis.call('XTRIM', log, 'MINID', (held[7] or 0) + 1)
local fields = {'tail', ARGV[11] == '' and tonumber(held[8] or 0) + #ARGV[7] or 0}
-- Beginning an attempt is no progress: a job may kill its workers right behind that.
if ARGV[6] == 'patch' and held[6] and held[6] ~= '0' then
    fields[#fields + 1] = 'loss'
    fields[#fields + 1] = 0
end
if ARGV[10] ~= '' then
    fields[#fields + 1] = 'rec'
    fields[#fields + 1] = ARGV[10]
end
if ARGV[11] ~= '' then
    fields[#fields + 1] = 'snap'
    fields[#fields + 1] = ARGV[11]
    fields[#fields + 1] = 'snapseq'
    fields[#fields + 1] = seq
end
write(job, log, ARGV[1], held[3], ARGV[3], seq, ARGV[6], ARGV[7], fields)
if ARGV[11] ~= '' then redis.call('XTRIM', log, 'MINID', seq + 1) end
if ARGV[9] == '1' then redis.call('DEL', raw) end
if ARGV[8] ~= '' then redis.call('APPEND', raw, ARGV[8]) end
return {'ok'}
