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
-- Jobs that leave the line are counted in windows of so many ms (`drain.rs`).
local WINDOW_MS = 10000

-- The virtual time of the shard.
local function pace()
    local at = redis.call('GET', PACE) or redis.call('ZRANGE', RING, 0, 0, 'WITHSCORES')[2]
    return tonumber(at or 0)
end

-- Notes where a tenant is that has no jobs in line.
local function left_at(tenant, at)
    redis.call('SET', LEFT .. tenant, at, 'PX', LEFT_MS)
    redis.call('PEXPIRE', PACE, 2 * LEFT_MS)
end

-- What a tenant may have: its weight, its running jobs, its waiting ones; 0 for any number of them.
local function share_of(tenant)
    local held = redis.call('HMGET', SHARES, tenant, '')
    local weight, running, queued = string.match(held[1] or held[2] or '1 0 0', '^(%d+) (%d+) (%d+)$')
    return tonumber(weight), tonumber(running), tonumber(queued)
end

-- Whether a tenant may be given a worker, and its weight.
local function may(tenant)
    local weight, running = share_of(tenant)
    if running > 0 and redis.call('SCARD', RUN .. tenant) >= running then return false, weight end
    return redis.call('SISMEMBER', PAUSED, tenant) == 0, weight
end

-- Puts a tenant with jobs in line on the ring, at its own virtual time; `first` is the score of the first of them.
local function stand(tenant, at, first)
    redis.call('ZADD', RING, at, tenant)
    if tonumber(first) < BAND then
        redis.call('ZADD', BACK, first, tenant)
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

-- Puts a job in line, and wakes a worker where it may be served.
local function enter_line(id, tenant, band, at)
    redis.call('ZADD', READY, at, id)
    redis.call('ZADD', LINE .. tenant, band * BAND + at, id)
    if seat(tenant) and redis.call('SISMEMBER', PAUSED, '') == 0 then wake(1) end
end

local function leave_line(id, tenant)
    redis.call('ZREM', READY, id)
    if redis.call('ZREM', LINE .. tenant, id) == 1 then seat(tenant) end
end

-- Takes the next job out of line for a worker, and charges its tenant: one that lost its worker before all others, else
-- that of the tenant that was served least. A job is charged when it is given to a worker for the first time.
-- Returns its id, or nil where its tenant may not be served and was put aside; and the tenant, nil where none is left.
local function next_in_line()
    local back = redis.call('ZRANGE', BACK, 0, 0)[1]
    local tenant = back or redis.call('ZRANGE', RING, 0, 0)[1]
    if not tenant then return nil, nil end
    local open, weight = may(tenant)
    if not open then
        seat(tenant)
        return nil, tenant
    end
    local at = tonumber(redis.call('ZSCORE', RING, tenant) or pace())
    local id = redis.call('ZPOPMIN', LINE .. tenant)[1] or ''
    redis.call('ZREM', READY, id)
    if not back then redis.call('SET', PACE, at, 'PX', 2 * LEFT_MS) end
    local held = redis.call('HMGET', JOB .. id, 'cost', 'claims')
    local cost = held[2] and 0 or tonumber(held[1] or 0)
    local first = redis.call('ZRANGE', LINE .. tenant, 0, 0, 'WITHSCORES')[2]
    if first then
        stand(tenant, at + cost / weight, first)
    else
        leave(tenant, at + cost / weight)
    end
    return id, tenant
end

-- A job runs.
local function hold(id, tenant, good_until)
    redis.call('ZADD', LEASE, good_until, id)
    redis.call('SADD', RUN .. tenant, id)
    redis.call('HSET', WHOSE, id, tenant)
end

-- A delivery is over: its slot is free, maybe for another job of its tenant.
local function let_go(id, token)
    redis.call('ZREM', LEASE, id)
    redis.call('ZREM', CANCEL, id)
    if token then redis.call('HDEL', GIVEN, string.match(token, '[^.]*$')) end
    local tenant = redis.call('HGET', WHOSE, id)
    if not tenant then return end
    redis.call('HDEL', WHOSE, id)
    redis.call('SREM', RUN .. tenant, id)
    if redis.call('ZSCORE', ASIDE, tenant) and seat(tenant) then wake(1) end
    return tenant
end

-- What a job has cost is more or less than was thought.
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

local function window(at)
    return string.format('%.0f', math.floor(at / WINDOW_MS))
end

-- Counts a job that leaves the line.
local function drain(at)
    if redis.call('HINCRBY', DRAIN, window(at), 1) > 1 then return end
    for _, other in ipairs(redis.call('HKEYS', DRAIN)) do
        if other ~= window(at) and other ~= window(at - WINDOW_MS) then redis.call('HDEL', DRAIN, other) end
    end
    redis.call('PEXPIRE', DRAIN, 2 * WINDOW_MS)
end

-- So many jobs left the line lately, in so many ms.
local function drained(at)
    local held = redis.call('HMGET', DRAIN, window(at), window(at - WINDOW_MS))
    local before = tonumber(held[2] or 0)
    return tonumber(held[1] or 0) + before, at % WINDOW_MS + (before > 0 and WINDOW_MS or 0)
end
