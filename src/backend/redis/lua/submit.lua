-- Keeps jobs and puts them in line, each by itself, or names the job that a key was used for. One may be made of a dead
-- letter, which is none any more by that. What becomes of one is nothing to the others.
--
-- KEYS  the shard's
-- ARGV  1 jobs that may wait, 2 bytes that may be asked for, 3 `status: queued`, 4 retention ms, 5 grace ms, 6 ms that a job may
--       have to wait in line, or 0, then of each: id, epoch, tenant, spec, shape, idempotency key or '', hash of the request,
--       bytes asked, cost, ms that it goes on once nobody views it, or '', the dead letter or '', band
-- Returns of each: {'new', ahead} · {'again'} sent before · {'existing', id} · {'conflict', id} · {'none'} there is no such dead
--         letter · {'full', of what, jobs that wait, jobs that left the line lately, in so many ms} · {'error', what Redis
--         said}: OOM where memory is full, since the first command that writes is one that is refused then

local ARGS_EACH = 12
local JOBS_MAX, BYTES_MAX, WAIT_MAX = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local KEPT_MS = whole(ARGV[4] + ARGV[5])

local at = now()
-- Those that were put back count too: a provider that is busy for long would otherwise let in any number.
local in_line, put_back = redis.call('ZCARD', READY), redis.call('ZCARD', WAIT)
local asked = tonumber(redis.call('GET', ASKED) or 0)
-- Jobs of tenants that this step has kept.
local came = {}

-- A tenant's jobs that wait.
local function own_of(tenant)
    return redis.call('SCARD', OWN .. tenant) + (came[tenant] or 0) - redis.call('SCARD', RUN .. tenant)
end

-- Whether a job would wait too long, where the tenants on the ring are served in turn.
local function too_slow(tenant, ahead, behind)
    if WAIT_MAX == 0 or ahead == 0 then return false end
    local left, left_ms = drained(at)
    if left < LEFT_MIN then return false end
    local before = redis.call('ZCARD', LINE .. tenant) - behind
    local others = redis.call('ZCARD', RING) - (redis.call('ZSCORE', RING, tenant) and 1 or 0)
    local turns = math.min((before + 1) * (others + 1) - 1, ahead)
    return turns * math.max(left_ms, 1) / left > WAIT_MAX
end

-- Of what there is too much to keep another job, and how many wait; or nil.
local function full(tenant, bytes, ahead, behind)
    local waiting = in_line + put_back
    if waiting >= JOBS_MAX then return 'jobs', waiting end
    if asked + bytes > BYTES_MAX then return 'bytes', waiting end
    local _, _, own_max = share_of(tenant)
    local own = own_max > 0 and own_of(tenant)
    if own and own >= own_max then return 'tenant', own end
    if too_slow(tenant, ahead, behind) then return 'wait', waiting end
end

-- The letter that a job is made of is kept as one that has ended.
local function answered(letter, id)
    redis.call('HDEL', JOB .. letter, 'spec')
    redis.call('HSET', JOB .. letter, 'redriven', id)
    keep(letter, ENDED, SIZES, keep_no_more(letter, DEAD, DEAD_SIZES), KEPT_MS)
    -- Its key names it no longer than it is there.
    local named = redis.call('HGET', JOB .. letter, 'name')
    if named then redis.call('PEXPIRE', named, KEPT_MS) end
end

local function submit(_, id, epoch, tenant, spec, shape, key, request, bytes, cost, unviewed_ms, letter, band)
    if redis.call('EXISTS', JOB .. id) == 1 then return {'again'} end
    -- With the tenant's length, so that no two tenants' keys are one.
    local name = key ~= '' and NAME .. #tenant .. ':' .. tenant .. ':' .. key
    local known = name and redis.call('GET', name)
    if known then
        local other, before = string.match(known, '^(%S+) (%S+)$')
        return {before == request and 'existing' or 'conflict', other}
    end
    if letter ~= '' then
        local before = redis.call('HGET', JOB .. letter, 'redriven')
        if before then return {'existing', before} end
        if not redis.call('ZSCORE', DEAD, letter) then return {'none'} end
    end
    band = tonumber(band)
    local behind = redis.call('ZCOUNT', LINE .. tenant, whole((band + 1) * BAND), '+inf')
    local ahead = in_line - behind
    local of, waiting = full(tenant, bytes, ahead, behind)
    if of then return {'full', of, waiting, drained(at)} end

    local fields = {'st', 'queued', 'tenant', tenant, 'spec', spec, 'shape', shape, 'asked', bytes, 'cost', cost,
        'sub', stamp()}
    local function also(field, value)
        fields[#fields + 1] = field
        fields[#fields + 1] = value
    end
    if name then also('name', name) end
    if unviewed_ms ~= '' then also('unv', unviewed_ms) end
    if band ~= NORMAL then also('band', band) end
    write(JOB .. id, LOG .. id, LIVE .. id, false, epoch, 1, 'status', ARGV[3], fields)
    if name then redis.call('SET', name, id .. ' ' .. request) end
    ask(bytes)
    later('SADD', OWN .. tenant, id)
    enter_line(id, tenant, band, at)
    in_line, asked, came[tenant] = in_line + 1, asked + bytes, (came[tenant] or 0) + 1
    if letter ~= '' then answered(letter, id) end
    return {'new', ahead}
end

local answers = each(6, ARGS_EACH, submit)
close()
return answers
