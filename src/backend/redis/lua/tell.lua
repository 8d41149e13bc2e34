-- Tells ends that were withheld: writes each into its log, and publishes it. What was told before is told no second time.
--
-- KEYS  the shard's
-- ARGV  of each, at most 100: id, the end where another one is told than was kept, or ''
-- Returns for each: 1 where it is told by this · 0 where it was before · 2 where the job has not ended here

let_through()
local told = {}
for i = 1, #ARGV, 2 do
    local id = ARGV[i]
    local job = JOB .. id
    local held = redis.call('HMGET', job, 'fin', 'finat', 'epoch', 'end')
    if held[1] then
        local epoch, seq = string.match(held[2], '^(%S+) (%d+)$')
        redis.call('HDEL', job, 'fin', 'finat', 'told', 'mark')
        local payload = ARGV[i + 1] ~= '' and ARGV[i + 1] or held[1]
        write(job, LOG .. id, LIVE .. id, held[3], epoch, tonumber(seq), 'end', payload, {})
    end
    redis.call('ZREM', UNTOLD, id)
    told[#told + 1] = held[1] and 1 or held[4] and 0 or 2
end
return told
