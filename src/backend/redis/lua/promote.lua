-- Puts waiting jobs whose time has come in line again, and forgets ended ones that are past their retention: by age, by
-- count and by bytes. Where it has done as much as it may there may be more.
--
-- KEYS  the shard's
-- ARGV  1 retention ms, 2 ended jobs that are kept, 3 bytes that are kept of them, 4 to 6 the same of dead letters,
--       7 `status: queued`, then an epoch for each job that may be put in line, at most 500
-- Returns {{id, seq, epoch} of each that was put in line, {id of each whose value has waited for a verdict}, 1 where more
--         are to be forgotten, 1 where there are ends that are not told yet}
-- Work: so many jobs, and at most 100 of each kind that are forgotten.

let_through()
local at, promoted, silent = now(), {}, {}

-- Whether there may be more to forget of these.
local function forget(index, sizes, retention, count_max, bytes_max)
    for _ = 1, 100 do
        local oldest = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
        local id = oldest[1]
        local many = redis.call('ZCARD', index) > tonumber(count_max)
        local large = tonumber(redis.call('HGET', sizes, '') or 0) > tonumber(bytes_max)
        if not id or not (many or large or oldest[2] + retention <= at) then return false end
        local name = redis.call('HGET', JOB .. id, 'name')
        keep_no_more(id, index, sizes)
        redis.call('UNLINK', JOB .. id, LOG .. id, RAW .. id)
        if name and string.match(redis.call('GET', name) or '', '^(%S+)') == id then redis.call('DEL', name) end
    end
    return true
end

local more = forget(ENDED, SIZES, ARGV[1], ARGV[2], ARGV[3])
more = forget(DEAD, DEAD_SIZES, ARGV[4], ARGV[5], ARGV[6]) or more

for i, id in ipairs(redis.call('ZRANGEBYSCORE', WAIT, '-inf', at, 'LIMIT', 0, #ARGV - 7)) do
    local held = redis.call('HMGET', JOB .. id, 'st', 'epoch', 'seq', 'tenant', 'awaits', 'band')
    if held[1] == 'waiting' and held[5] == '1' then
        -- Its end is made by the caller.
        silent[#silent + 1] = id
    else
        redis.call('ZREM', WAIT, id)
    end
    if held[1] == 'waiting' and held[5] ~= '1' then
        local seq, epoch = tonumber(held[3]) + 1, ARGV[7 + i]
        write(JOB .. id, LOG .. id, LIVE .. id, held[2], epoch, seq, 'status', ARGV[7], {'st', 'queued'})
        enter_line(id, held[4], tonumber(held[6] or NORMAL), at)
        -- What follows may fail at a job that cannot be read.
        close()
        promoted[#promoted + 1] = {id, seq, epoch}
    end
end

-- Nothing is left that has not ended: nothing is asked for.
if redis.call('EXISTS', READY, LEASE, WAIT) == 0 then
    redis.call('DEL', RING, BACK, ASIDE, ASKED, GIVEN, WHOSE)
end
return {promoted, silent, more and 1 or 0, redis.call('EXISTS', UNTOLD)}
