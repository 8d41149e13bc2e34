-- Fragment: the keys of a shard, all in one slot, in the order of `keys.rs`, and the line of its ready jobs.
--
-- KEYS  1 ready    zset  job → band and time: all jobs in line
--       2 ring     zset  tenant → virtual time: tenants with jobs in line
--       3 pace     hash  tenant → virtual time where it left the ring; '' → that of the shard
--       4 lease    zset  job → ms at which its lease runs out: the jobs that run
--       5 cancel   zset  job → ms at which the reaper ends it: running jobs whose cancel was asked for
--       6 wait     zset  job → ms at which it goes on
--       7 ended    zset  job → ms at which it ended
--       8 sizes    hash  job → bytes that are kept of it; '' → of all
--       9 asked    string  bytes of the requests of jobs that have not ended
--      10 wake     list  one token a job that came into line, for workers that wait
--      11 unviewed zset  job → ms at which it ends where nobody views it until then
--      12… beginnings of the keys of one job (job, raw, log), of a tenant's line, of idempotency keys, of channels, of the
--          nodes that view a job
-- The keys of jobs that a step finds in these indexes are made of the beginnings: they cannot be declared beforehand.

local READY, RING, PACE, LEASE, CANCEL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local WAIT, ENDED, SIZES, ASKED, WAKE = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local UNVIEWED, JOB, RAW, LOG, LINE = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local NAME, LIVE, VIEW = KEYS[16], KEYS[17], KEYS[18]

-- Scores are band × 2^42 + ms: those whose worker was lost come before all others.
local BAND = 4398046511104
local RECOVERED, NORMAL = 0, 1
-- Tokens that wait at a time, and how long; a worker that misses one polls.
local WAKE_MAX, WAKE_MS = 64, 60000

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

-- Puts a job in line. A tenant that comes back begins where the shard's virtual time is: it has saved nothing up.
local function enter_line(id, tenant, band, at)
    local score = band * BAND + at
    redis.call('ZADD', READY, score, id)
    redis.call('ZADD', LINE .. tenant, score, id)
    if not redis.call('ZSCORE', RING, tenant) then
        local own = tonumber(redis.call('HGET', PACE, tenant) or 0)
        local all = tonumber(redis.call('HGET', PACE, '') or 0)
        redis.call('ZADD', RING, math.max(own, all), tenant)
        redis.call('HDEL', PACE, tenant)
    end
end

-- A tenant without jobs in line leaves the ring; where it stood is kept.
local function leave_ring(tenant, at)
    if redis.call('EXISTS', LINE .. tenant) == 0 then
        at = at or redis.call('ZSCORE', RING, tenant)
        redis.call('ZREM', RING, tenant)
        if at then redis.call('HSET', PACE, tenant, at) end
        return true
    end
    return false
end

local function leave_line(id, tenant)
    redis.call('ZREM', READY, id)
    if redis.call('ZREM', LINE .. tenant, id) == 1 then leave_ring(tenant) end
end

-- Takes the next job of the tenant that was served least; nil where none is in line.
local function next_in_line()
    local tenant = redis.call('ZRANGE', RING, 0, 0)[1]
    if not tenant then return nil end
    local id = redis.call('ZPOPMIN', LINE .. tenant)[1]
    if id then redis.call('ZREM', READY, id) end
    local at = tonumber(redis.call('ZSCORE', RING, tenant))
    redis.call('HSET', PACE, '', at)
    local cost = id and tonumber(redis.call('HGET', JOB .. id, 'cost') or 0) or 0
    if not leave_ring(tenant, at + cost) then redis.call('ZADD', RING, at + cost, tenant) end
    return id, tenant
end

-- What a job has cost is more or less than was thought.
local function charge(tenant, more)
    if more == 0 then return end
    local all = tonumber(redis.call('HGET', PACE, '') or 0)
    local at = redis.call('ZSCORE', RING, tenant)
    if at then
        redis.call('ZADD', RING, math.max(all, at + more), tenant)
    else
        local own = tonumber(redis.call('HGET', PACE, tenant) or all)
        redis.call('HSET', PACE, tenant, math.max(all, own + more))
    end
end
