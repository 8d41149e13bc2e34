-- Fragment: the keys of a shard, all in one slot, in the order of `keys.rs`, and what steps have in common.
--
-- KEYS  1 ready    zset  job → ms at which it came into line: all jobs in line
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
--      15 back     zset  tenant → ms: those on the ring with jobs that lost their worker, by when the first came back
--      16 aside    zset  tenant → virtual time: those with jobs in line that may not be served
--      17 whose    hash  running job → its tenant
--      18 shares   hash  tenant → what it may have, `weight running queued`; '' → what any other may
--      19 paused   set   tenants that are given no worker; '' stands for all
--      20 drain    hash  how fast jobs leave the line: `jobs` in `ms`, those of the period before, when the `last` one did
--      21 untold   zset  job → ms at which it ended: ends that are not told yet
--      22… beginnings of the keys of one job (job, raw, log), of a tenant's line, of idempotency keys, of channels, of the
--          nodes that view a job, of the virtual time at which a tenant left the ring, of a tenant's running jobs, of all
--          that it has and that have not ended
-- The keys of jobs that a step finds in these indexes are made of the beginnings: they cannot be declared beforehand.

local READY, RING, PACE, LEASE, CANCEL = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local WAIT, ENDED, SIZES, ASKED, WAKE = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local UNVIEWED, GIVEN, DEAD, DEAD_SIZES = KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local BACK, ASIDE, WHOSE, SHARES, PAUSED, DRAIN = KEYS[15], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20]
local UNTOLD = KEYS[21]
local JOB, RAW, LOG, LINE = KEYS[22], KEYS[23], KEYS[24], KEYS[25]
local NAME, LIVE, VIEW, LEFT, RUN, OWN = KEYS[26], KEYS[27], KEYS[28], KEYS[29], KEYS[30], KEYS[31]

-- Half of the tokens that wait at a time at most, and how long they do.
local WAKE_MAX, WAKE_MS = 64, 60000

-- Where memory is full Redis lets a script write whose first command that writes is one that needs none. Every step but
-- `submit` begins with one: what runs is seen to its end. This one changes nothing.
local function let_through()
    redis.call('PERSIST', LEASE)
end

-- A step of many jobs does to each what is the job's own, and to the indexes once what all of them ask for: `later` notes
-- it, `flush` does it. Nothing that is noted is read before, and an index gets one command in a step. So what a step
-- has noted of the others is done also where it fails at one.
local noted, turns = {}, {}
local asked_more, kept = 0, {}

local function later(command, key, first, second)
    local note = noted[key]
    if not note then
        note = {command, key}
        noted[key], turns[#turns + 1] = note, note
    end
    note[#note + 1] = first
    if second then note[#note + 1] = second end
end

-- More bytes are asked for by jobs that have not ended, or fewer.
local function ask(bytes)
    asked_more = asked_more + bytes
end

-- Keeps a job that has ended among others, whose index and sizes these are. The promoter forgets it; where no worker
-- runs, Redis does, a while later.
local function keep(id, index, sizes, bytes, ms)
    redis.call('PEXPIRE', JOB .. id, ms)
    redis.call('PEXPIRE', LOG .. id, ms)
    later('ZADD', index, stamp(), id)
    later('HSET', sizes, id, whole(bytes))
    local all = kept[index] or {sizes = sizes, bytes = 0}
    kept[index], all.bytes, all.ms = all, all.bytes + bytes, ms
end

local function flush()
    local all = turns
    noted, turns = {}, {}
    for _, note in ipairs(all) do redis.call(unpack(note)) end
    for index, of in pairs(kept) do
        redis.call('HINCRBY', of.sizes, '', whole(of.bytes))
        redis.call('PEXPIRE', index, of.ms)
        redis.call('PEXPIRE', of.sizes, of.ms)
        kept[index] = nil
    end
    if asked_more ~= 0 and redis.call('INCRBY', ASKED, whole(asked_more)) <= 0 then redis.call('DEL', ASKED) end
    asked_more = 0
end

-- Wakes so many workers that wait. One that misses it polls: where none takes a token for long, all go.
local function wake(count)
    if count <= 0 then return end
    local tokens = {}
    for i = 1, math.min(count, WAKE_MAX) do tokens[i] = '' end
    local there = redis.call('RPUSH', WAKE, unpack(tokens))
    if there == #tokens then redis.call('PEXPIRE', WAKE, WAKE_MS) end
    if there > 2 * WAKE_MAX then redis.call('LTRIM', WAKE, -WAKE_MAX, -1) end
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
