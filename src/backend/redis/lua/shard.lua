-- Fragment: the keys of a shard, all in one slot, in the order of `keys.rs`, and the line of its ready jobs.
--
-- KEYS  1 ready    zset  job → band and time: all jobs in line
--       2 ring     zset  tenant → virtual time: tenants with jobs in line
--       3 pace     string  the virtual time of the shard: that of the tenant that was served last
--       4 lease    zset  job → ms at which its lease runs out: the jobs that run
--       5 cancel   zset  job → ms at which the reaper ends it: running jobs whose cancel was asked for
--       6 wait     zset  job → ms at which it goes on
--       7 ended    zset  job → ms at which it ended
--       8 sizes    hash  job → bytes that are kept of it; '' → of all
--       9 asked    string  bytes of the requests of jobs that have not ended
--      10 wake     list  one token a job that came into line, for workers that wait
--      11 unviewed zset  job → ms at which it ends where nobody views it until then
--      12 given    hash  nonce of a running delivery → its job
--      13 dead     zset  job → ms at which it was given up: dead letters
--      14 deadsizes hash  job → bytes that are kept of it; '' → of all
--      15… beginnings of the keys of one job (job, raw, log), of a tenant's line, of idempotency keys, of channels, of the
--          nodes that view a job, of the virtual time at which a tenant left the ring
--       23 untold   zset  job → ms at which it ended: ends that are not told yet
-- The keys of jobs that a step finds in these indexes are made of the beginnings: they cannot be declared beforehand.

local READY, RING, PACE, LEASE, CANCEL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local WAIT, ENDED, SIZES, ASKED, WAKE = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local UNVIEWED, GIVEN, DEAD, DEAD_SIZES = KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local JOB, RAW, LOG, LINE = KEYS[15], KEYS[16], KEYS[17], KEYS[18]
local NAME, LIVE, VIEW, LEFT = KEYS[19], KEYS[20], KEYS[21], KEYS[22]
local UNTOLD = KEYS[23]

-- Scores are band × 2^42 + ms: those whose worker was lost come before all others.
local BAND = 4398046511104
local RECOVERED, NORMAL = 0, 1
-- Tokens that wait at a time, and how long; a worker that misses one polls.
local WAKE_MAX, WAKE_MS = 64, 60000
-- How long it is known where a tenant left the ring, and half of how long where the shard is: so the shard is never
-- thought to be behind a tenant that left it.
local LEFT_MS = 600000

-- Where memory is full Redis lets a script write whose first command that writes is one that needs none. Every step but
-- `submit` begins with one: what runs is seen to its end. This one changes nothing.
local function let_through()
    redis.call('PERSIST', LEASE)
end

local function wake(count)
    for _ = 1, math.min(count, WAKE_MAX) do redis.call('RPUSH', WAKE, '') end
    if count > 0 then
        redis.call('LTRIM', WAKE, -WAKE_MAX, -1)
        redis.call('PEXPIRE', WAKE, WAKE_MS)
    end
end

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

-- Puts a job in line. A tenant that comes back begins where the shard's virtual time is: it has saved nothing up.
local function enter_line(id, tenant, band, at)
    local score = band * BAND + at
    redis.call('ZADD', READY, score, id)
    redis.call('ZADD', LINE .. tenant, score, id)
    if not redis.call('ZSCORE', RING, tenant) then
        local own = tonumber(redis.call('GET', LEFT .. tenant) or 0)
        redis.call('ZADD', RING, math.max(own, pace()), tenant)
        redis.call('DEL', LEFT .. tenant)
    end
end

-- A tenant without jobs in line leaves the ring; where it stood is kept for a while.
local function leave_ring(tenant, at)
    if redis.call('EXISTS', LINE .. tenant) == 0 then
        at = at or redis.call('ZSCORE', RING, tenant)
        redis.call('ZREM', RING, tenant)
        if at then left_at(tenant, at) end
        return true
    end
    return false
end

local function leave_line(id, tenant)
    redis.call('ZREM', READY, id)
    if redis.call('ZREM', LINE .. tenant, id) == 1 then leave_ring(tenant) end
end

-- Takes the next job: one that lost its worker before all others, else that of the tenant that was served least; nil
-- where none is in line. A job is charged when it is given to a worker for the first time.
local function next_in_line()
    local first = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')
    if first[1] and tonumber(first[2]) < BAND then
        leave_line(first[1], redis.call('HGET', JOB .. first[1], 'tenant') or '')
        return first[1]
    end
    local tenant = redis.call('ZRANGE', RING, 0, 0)[1]
    if not tenant then return nil end
    local id = redis.call('ZPOPMIN', LINE .. tenant)[1]
    if id then redis.call('ZREM', READY, id) end
    local at = tonumber(redis.call('ZSCORE', RING, tenant))
    redis.call('SET', PACE, at, 'PX', 2 * LEFT_MS)
    local held = redis.call('HMGET', JOB .. (id or ''), 'cost', 'claims')
    local cost = held[2] and 0 or tonumber(held[1] or 0)
    if not leave_ring(tenant, at + cost) then redis.call('ZADD', RING, at + cost, tenant) end
    return id
end

-- What a job has cost is more or less than was thought.
local function charge(tenant, more)
    if more == 0 then return end
    local at = redis.call('ZSCORE', RING, tenant)
    if at then
        redis.call('ZADD', RING, math.max(pace(), at + more), tenant)
    else
        local own = tonumber(redis.call('GET', LEFT .. tenant) or pace())
        left_at(tenant, math.max(pace(), own + more))
    end
end

-- Keeps a job that has ended among others, whose index and sizes these are. The promoter forgets it; where no worker
-- runs, Redis does, a while later.
local function keep(id, index, sizes, at, bytes, ms)
    redis.call('ZADD', index, at, id)
    redis.call('HSET', sizes, id, bytes)
    redis.call('HINCRBY', sizes, '', bytes)
    for _, key in ipairs({JOB .. id, LOG .. id, index, sizes}) do redis.call('PEXPIRE', key, ms) end
end

-- It is no longer one of them. Returns the bytes that are kept of it.
local function keep_no_more(id, index, sizes)
    local bytes = tonumber(redis.call('HGET', sizes, id) or 0)
    redis.call('ZREM', index, id)
    redis.call('HINCRBY', sizes, '', -bytes)
    redis.call('HDEL', sizes, id)
    if redis.call('EXISTS', index) == 0 then redis.call('DEL', sizes) end
    return bytes
end

-- A delivery is over.
local function let_go(id, token)
    redis.call('ZREM', LEASE, id)
    redis.call('ZREM', CANCEL, id)
    if token then redis.call('HDEL', GIVEN, string.match(token, '[^.]*$')) end
end
