-- Puts waiting jobs whose time has come in line again, and forgets ended ones that are past their retention: by age, by
-- count and by bytes. Where it has done as much as it may there may be more.
--
-- KEYS  the shard's
-- ARGV  1 retention ms, 2 ended jobs that are kept, 3 bytes that are kept of them, 4 `status: queued`, then an epoch for
--       each job that may be put in line, at most 500
-- Returns {{id, seq, epoch} of each that was put in line, {id of each whose value has waited for a verdict}, 1 where more
--         are to be forgotten}
-- Work: so many jobs, and at most 100 that are forgotten.

let_through()
local at, promoted, silent = now(), {}, {}
local retention, count_max, bytes_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function forget(id)
    local name = redis.call('HGET', JOB .. id, 'name')
    redis.call('ZREM', ENDED, id)
    redis.call('HINCRBY', SIZES, '', -tonumber(redis.call('HGET', SIZES, id) or 0))
    redis.call('HDEL', SIZES, id)
    redis.call('UNLINK', JOB .. id, LOG .. id, RAW .. id)
    if name and string.match(redis.call('GET', name) or '', '^(%S+)') == id then redis.call('DEL', name) end
end

local more = 1
for _ = 1, 100 do
    local oldest = redis.call('ZRANGE', ENDED, 0, 0, 'WITHSCORES')
    local id = oldest[1]
    local many = redis.call('ZCARD', ENDED) > count_max
    local large = tonumber(redis.call('HGET', SIZES, '') or 0) > bytes_max
    if not id or not (many or large or oldest[2] + retention <= at) then
        more = 0
        break
    end
    forget(id)
end
if redis.call('EXISTS', ENDED) == 0 then redis.call('DEL', SIZES) end

for i, id in ipairs(redis.call('ZRANGEBYSCORE', WAIT, '-inf', at, 'LIMIT', 0, #ARGV - 4)) do
    local held = redis.call('HMGET', JOB .. id, 'st', 'epoch', 'seq', 'tenant', 'awaits')
    if held[1] == 'waiting' and held[5] == '1' then
        -- Its end is made by the caller.
        silent[#silent + 1] = id
    else
        redis.call('ZREM', WAIT, id)
    end
    if held[1] == 'waiting' and held[5] ~= '1' then
        local seq, epoch = tonumber(held[3]) + 1, ARGV[4 + i]
        write(JOB .. id, LOG .. id, LIVE .. id, held[2], epoch, seq, 'status', ARGV[4], {'st', 'queued'})
        enter_line(id, held[4], NORMAL, at)
        promoted[#promoted + 1] = {id, seq, epoch}
    end
end
wake(#promoted)

-- Nothing is left that has not ended: nothing is asked for.
if redis.call('EXISTS', READY, LEASE, WAIT) == 0 then redis.call('DEL', RING, ASKED, GIVEN) end
return {promoted, silent, more}
