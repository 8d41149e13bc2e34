-- Keeps a job and puts it in line, or names the job that its key was used for. It may be made of a dead letter, which is
-- none any more by that.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 epoch, 3 tenant, 4 spec, 5 shape, 6 idempotency key or '', 7 hash of the request, 8 bytes asked,
--       9 cost, 10 jobs that may wait, 11 bytes that may be asked for, 12 `status: queued`,
--       13 ms that it goes on once nobody views it, or '', 14 the dead letter or '', 15 retention ms, 16 grace ms
-- Returns {'new', ahead} · {'again'} sent before · {'existing', id} · {'conflict', id} · {'full'} · {'none'} there is no
--         such dead letter
-- Errors  OOM where memory is full: the first command that writes is one that is refused then.

local id, tenant = ARGV[1], ARGV[3]
if redis.call('EXISTS', JOB .. id) == 1 then return {'again'} end
-- With the tenant's length, so that no two tenants' keys are one.
local name = NAME .. #tenant .. ':' .. tenant .. ':' .. ARGV[6]
if ARGV[6] ~= '' then
    local known = redis.call('GET', name)
    if known then
        local other, request = string.match(known, '^(%S+) (%S+)$')
        return {request == ARGV[7] and 'existing' or 'conflict', other}
    end
end
local letter = ARGV[14]
if letter ~= '' then
    local before = redis.call('HGET', JOB .. letter, 'redriven')
    if before then return {'existing', before} end
    if not redis.call('ZSCORE', DEAD, letter) then return {'none'} end
end
local ahead = redis.call('ZCARD', READY)
local asked = tonumber(redis.call('GET', ASKED) or 0)
-- Those that were put back count too: a provider that is busy for long would otherwise let in any number.
if ahead + redis.call('ZCARD', WAIT) >= tonumber(ARGV[10]) or asked + ARGV[8] > tonumber(ARGV[11]) then
    return {'full'}
end
local at = now()
local fields = {'st', 'queued', 'tenant', tenant, 'spec', ARGV[4], 'shape', ARGV[5], 'asked', ARGV[8],
    'cost', ARGV[9], 'sub', at}
if ARGV[6] ~= '' then
    fields[#fields + 1] = 'name'
    fields[#fields + 1] = name
end
if ARGV[13] ~= '' then
    fields[#fields + 1] = 'unv'
    fields[#fields + 1] = ARGV[13]
end
redis.call('HSET', JOB .. id, unpack(fields))
if ARGV[6] ~= '' then redis.call('SET', name, id .. ' ' .. ARGV[7]) end
write(JOB .. id, LOG .. id, LIVE .. id, false, ARGV[2], 1, 'status', ARGV[12], {})
redis.call('INCRBY', ASKED, ARGV[8])
enter_line(id, tenant, NORMAL, at)
wake(1)
if letter ~= '' then
    redis.call('HDEL', JOB .. letter, 'spec')
    redis.call('HSET', JOB .. letter, 'redriven', id)
    keep(letter, ENDED, SIZES, at, keep_no_more(letter, DEAD, DEAD_SIZES), ARGV[15] + ARGV[16])
    -- Its key names it no longer than it is there.
    local named = redis.call('HGET', JOB .. letter, 'name')
    if named then redis.call('PEXPIRE', named, ARGV[15] + ARGV[16]) end
end
return {'new', ahead}
