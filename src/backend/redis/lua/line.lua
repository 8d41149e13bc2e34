-- Fragment: who comes first. Each tenant's jobs stand in a line of their own, by band and by when they came; the ring has
-- the tenants by their virtual time, and the one that is furthest behind is served. A tenant that may not be served,
-- because it is paused or has as many running as it may, stands aside and holds nobody up: it is put there when its turn
-- comes, and back when that may have changed.

-- Scores of a tenant's line are band × 2^42 + ms: those whose worker was lost come before all others, then by priority.
local BAND = 4398046511104
local RECOVERED = 0
-- That of a job that says nothing of its priority (`Priority`).
local NORMAL = 5
-- How long it is known where a tenant left the ring, and half of how long where the shard is: so the shard is never
-- thought to be behind a tenant that left it.
local LEFT_MS = 600000
-- Jobs that leave the line are counted in periods (`drain.rs`).
local PERIOD_MS, LEFT_MIN, KNOWN_MS = 10000, 5, 3600000

-- The virtual time of the shard. Where nobody was served for so long that it is not known any more, that of the first on the
-- ring; where that is empty, of the last of those aside: whoever comes is not served before them for what they had before.
local function pace()
    local at = redis.call('GET', PACE) or redis.call('ZRANGE', RING, 0, 0, 'WITHSCORES')[2]
        or redis.call('ZREVRANGE', ASIDE, 0, 0, 'WITHSCORES')[2]
    return tonumber(at or 0)
end

-- Notes where a tenant is that has no jobs in line.
local function left_at(tenant, at)
    redis.call('SET', LEFT .. tenant, at, 'PX', LEFT_MS)
    if redis.call('PEXPIRE', PACE, 2 * LEFT_MS) == 0 and redis.call('EXISTS', RING) == 0 then
        redis.call('SET', PACE, math.max(tonumber(at), pace()), 'PX', 2 * LEFT_MS)
    end
end

-- What a step has read of tenants, and changed: their shares, whether they are paused, how many of their jobs it has begun,
-- and whether nobody has jobs that lost their worker.
local shares, paused, begun, none_back = {}, {}, {}, false

-- What a tenant may have: its weight, its running jobs, its waiting ones; 0 for any number of them.
local function share_of(tenant)
    local share = shares[tenant]
    if not share then
        local held = redis.call('HMGET', SHARES, tenant, '')
        local weight, running, queued = string.match(held[1] or held[2] or '1 0 0', '^(%d+) (%d+) (%d+)$')
        share = {tonumber(weight), tonumber(running), tonumber(queued)}
        shares[tenant] = share
    end
    return share[1], share[2], share[3]
end

-- Whether a tenant is paused, and whether all are.
local function is_paused(tenant)
    if paused[tenant] == nil then
        local held = redis.call('SMISMEMBER', PAUSED, tenant, '')
        paused[tenant], paused[''] = held[1] == 1, held[2] == 1
    end
    return paused[tenant], paused['']
end

-- Whether a tenant may be given a worker, and its weight.
local function may(tenant)
    local weight, running = share_of(tenant)
    if running > 0 and redis.call('SCARD', RUN .. tenant) + (begun[tenant] or 0) >= running then
        return false, weight
    end
    return not is_paused(tenant), weight
end

-- Puts a tenant with jobs in line on the ring, at its own virtual time; `first` is the score of the first of them.
local function stand(tenant, at, first)
    redis.call('ZADD', RING, at, tenant)
    if tonumber(first) < BAND then
        redis.call('ZADD', BACK, first, tenant)
        none_back = false
    else
        redis.call('ZREM', BACK, tenant)
    end
end

-- Takes a tenant off the ring that has no jobs in line; where it stood is kept for a while.
local function leave(tenant, at)
    redis.call('ZREM', RING, tenant)
    redis.call('ZREM', BACK, tenant)
    redis.call('ZREM', ASIDE, tenant)
    if at then left_at(tenant, at) end
end

-- Puts a tenant where it belongs, and says whether it may be served. One that comes back to the ring begins where the
-- shard's virtual time is: it has saved nothing up.
local function seat(tenant)
    local first = redis.call('ZRANGE', LINE .. tenant, 0, 0, 'WITHSCORES')[2]
    local on, aside = redis.call('ZSCORE', RING, tenant), redis.call('ZSCORE', ASIDE, tenant)
    if not first then
        leave(tenant, on or aside)
        return false
    end
    local at = on or aside or redis.call('GET', LEFT .. tenant) or 0
    if not (on or aside) then redis.call('DEL', LEFT .. tenant) end
    if may(tenant) then
        if not on then
            at = math.max(tonumber(at), pace())
            redis.call('ZREM', ASIDE, tenant)
        end
        stand(tenant, at, first)
        return true
    end
    if on then
        redis.call('ZREM', RING, tenant)
        redis.call('ZREM', BACK, tenant)
    end
    redis.call('ZADD', ASIDE, at, tenant)
    return false
end

-- Tenants that the step has seen on the ring, workers to wake, tenants with a slot that was left, and what is to be charged.
local seen, waking, freed, charges = {}, 0, {}, {}

-- Puts a job in line, and wakes a worker where it may be served. Of a tenant on the ring that is seen when its turn comes.
local function enter_line(id, tenant, band, at)
    later('ZADD', READY, whole(at), id)
    redis.call('ZADD', LINE .. tenant, whole(band * BAND + at), id)
    local served
    if band ~= RECOVERED then
        seen[tenant] = seen[tenant] or redis.call('ZSCORE', RING, tenant)
        served = seen[tenant]
    end
    served = served or seat(tenant)
    local _, all = is_paused(tenant)
    if served and not all then waking = waking + 1 end
end

local function leave_line(id, tenant)
    later('ZREM', READY, id)
    if redis.call('ZREM', LINE .. tenant, id) == 1 then seat(tenant) end
end

-- Takes the next job out of line for a worker: one that lost its worker before all others, else that of the tenant that
-- was served least. Returns its id, or nil where its tenant may not be served and was put aside; and whose turn it is, to be
-- ended by `serve`, nil where none is left or all are paused; it tells when the job came into line, too.
local function next_in_line()
    local back = not none_back and redis.call('ZRANGE', BACK, 0, 0)[1] or nil
    none_back = not back
    local first = not back and redis.call('ZRANGE', RING, 0, 0, 'WITHSCORES')
    local tenant = back or first[1]
    if not tenant then return end
    local own, all = is_paused(tenant)
    if all then return end
    local open, weight = may(tenant)
    if not open then
        seat(tenant)
        return nil, {tenant = tenant}
    end
    local at = first and first[2] or redis.call('ZSCORE', RING, tenant) or pace()
    local id, score = unpack(redis.call('ZPOPMIN', LINE .. tenant))
    if id then later('ZREM', READY, id) end
    return id or '', {tenant = tenant, at = at, weight = weight, back = back, came = (score or 0) % BAND}
end

-- Ends the turn of a tenant, which is charged what the job is thought to cost; a job is charged when it is given to a worker
-- for the first time. Returns where the shard's virtual time is by that, or nil.
local function serve(turn, cost)
    local first = redis.call('ZRANGE', LINE .. turn.tenant, 0, 0, 'WITHSCORES')[2]
    local at = turn.at + cost / turn.weight
    if not first then
        leave(turn.tenant, at)
    elseif turn.back then
        stand(turn.tenant, at, first)
    else
        redis.call('ZADD', RING, at % 1 == 0 and whole(at) or at, turn.tenant)
    end
    return not turn.back and turn.at or nil
end

-- A job runs.
local function hold(id, tenant, good_until)
    later('ZADD', LEASE, good_until, id)
    later('SADD', RUN .. tenant, id)
    later('HSET', WHOSE, id, tenant)
    begun[tenant] = (begun[tenant] or 0) + 1
end

-- A delivery is over: its slot is free, maybe for another job of its tenant.
local function let_go(id, tenant, token, cancelled)
    later('ZREM', LEASE, id)
    if cancelled then later('ZREM', CANCEL, id) end
    if token then later('HDEL', GIVEN, string.match(token, '[^.]*$')) end
    if not tenant then return end
    later('HDEL', WHOSE, id)
    later('SREM', RUN .. tenant, id)
    freed[tenant] = true
end

-- The same where nothing is left of the job but what the indexes have.
local function let_go_of_none(id, token)
    local tenant = redis.call('HGET', WHOSE, id)
    let_go(id, tenant, token, true)
    if tenant then later('SREM', OWN .. tenant, id) end
end

-- What a tenant's jobs have cost is more or less than was thought.
local function charge(tenant, more)
    if more == 0 then return end
    more = more / share_of(tenant)
    for _, where in ipairs({RING, ASIDE}) do
        local at = redis.call('ZSCORE', where, tenant)
        if at then
            redis.call('ZADD', where, math.max(pace(), at + more), tenant)
            return
        end
    end
    local own = tonumber(redis.call('GET', LEFT .. tenant) or pace())
    left_at(tenant, math.max(pace(), own + more))
end

-- The end of a step that lets go of jobs or puts some in line: what it has noted is done.
local function close()
    flush()
    for tenant in pairs(freed) do
        if redis.call('ZSCORE', ASIDE, tenant) and seat(tenant) then waking = waking + 1 end
    end
    for tenant, more in pairs(charges) do charge(tenant, more) end
    wake(waking)
    begun, seen, waking, freed, charges = {}, {}, 0, {}, {}
end

-- Counts jobs that leave the line together, of which the first came into it at `came`: the time that they took, as
-- `drain.rs` has it, in the running period or in a new one.
local function drain(at, count, came)
    local held = redis.call('HMGET', DRAIN, 'last', 'jobs', 'ms')
    local last, jobs, ms = tonumber(held[1]), tonumber(held[2] or 0), tonumber(held[3] or 0)
    local begins, before = true, {}
    if not last or at - last > KNOWN_MS then
        -- How long the first of them took is not known.
        redis.call('DEL', DRAIN)
        last, jobs, ms = at, -1, 0
    elseif jobs >= LEFT_MIN and ms >= PERIOD_MS then
        before = {'before jobs', whole(jobs), 'before ms', whole(ms)}
        jobs, ms = 0, 0
    else
        begins = false
    end
    ms = ms + math.max(0, at - math.max(last, came))
    redis.call('HSET', DRAIN, 'last', whole(math.max(last, at)), 'jobs', whole(jobs + count), 'ms', whole(ms), unpack(before))
    -- As long as a period may go on: it need not be said again each time.
    if begins then redis.call('PEXPIRE', DRAIN, 2 * LEFT_MIN * KNOWN_MS) end
end

-- So many jobs left the line lately, in so many ms.
local function drained(at)
    local held = redis.call('HMGET', DRAIN, 'last', 'jobs', 'ms', 'before jobs', 'before ms')
    if not held[1] or at - held[1] > KNOWN_MS then return 0, 0 end
    return (held[2] or 0) + (held[4] or 0), (held[3] or 0) + (held[5] or 0)
end
