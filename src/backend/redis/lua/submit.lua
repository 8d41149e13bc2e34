-- Keeps a job and puts it in line, or names the job that its key was used for. It may be made of a dead letter, which is
-- none any more by that.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 epoch, 3 tenant, 4 spec, 5 shape, 6 idempotency key or '', 7 hash of the request, 8 bytes asked,
--       9 cost, 10 jobs that may wait, 11 bytes that may be asked for, 12 `status: queued`,
--       13 ms that it goes on once nobody views it, or '', 14 the dead letter or '', 15 retention ms, 16 grace ms, 17 band,
--       18 ms that a job may have to wait in line, or 0, 19 jobs that must have left before they say how fast they do
-- Returns {'new', ahead} · {'again'} sent before · {'existing', id} · {'conflict', id} · {'none'} there is no such dead
--         letter · {'full', of what, jobs that wait, jobs that left the line lately, in so many ms}
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
local at, band = now(), tonumber(ARGV[17])
-- Those that were put back count too: a provider that is busy for long would otherwise let in any number.
local in_line = redis.call('ZCARD', READY)
local waiting = in_line + redis.call('ZCARD', WAIT)
local own = redis.call('SCARD', OWN .. tenant) - redis.call('SCARD', RUN .. tenant)
local _, _, own_max = share_of(tenant)
local asked = tonumber(redis.call('GET', ASKED) or 0)
local behind = redis.call('ZCOUNT', LINE .. tenant, (band + 1) * BAND, '+inf')
local ahead = in_line - behind
local left, left_ms = drained(at)

-- Whether it would wait too long, where the tenants on the ring are served in turn.
local function too_slow()
    if ARGV[18] == '0' or left < tonumber(ARGV[19]) then return false end
    local before = redis.call('ZCARD', LINE .. tenant) - behind
    local others = redis.call('ZCARD', RING) - (redis.call('ZSCORE', RING, tenant) and 1 or 0)
    local turns = math.min((before + 1) * (others + 1) - 1, ahead)
    return turns * math.max(left_ms, 1) / left > tonumber(ARGV[18])
end

local full
if waiting >= tonumber(ARGV[10]) then
    full = 'jobs'
elseif asked + ARGV[8] > tonumber(ARGV[11]) then
    full = 'bytes'
elseif own_max > 0 and own >= own_max then
    full, waiting = 'tenant', own
elseif too_slow() then
    full = 'wait'
end
if full then return {'full', full, waiting, left, left_ms} end
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
if band ~= NORMAL then
    fields[#fields + 1] = 'band'
    fields[#fields + 1] = band
end
redis.call('HSET', JOB .. id, unpack(fields))
if ARGV[6] ~= '' then redis.call('SET', name, id .. ' ' .. ARGV[7]) end
write(JOB .. id, LOG .. id, LIVE .. id, false, ARGV[2], 1, 'status', ARGV[12], {})
redis.call('INCRBY', ASKED, ARGV[8])
redis.call('SADD', OWN .. tenant, id)
enter_line(id, tenant, band, at)
if letter ~= '' then
    redis.call('HDEL', JOB .. letter, 'spec')
    redis.call('HSET', JOB .. letter, 'redriven', id)
    keep(letter, ENDED, SIZES, at, keep_no_more(letter, DEAD, DEAD_SIZES), ARGV[15] + ARGV[16])
    -- Its key names it no longer than it is there.
    local named = redis.call('HGET', JOB .. letter, 'name')
    if named then redis.call('PEXPIRE', named, ARGV[15] + ARGV[16]) end
end
return {'new', ahead}
