-- Takes a verdict on a value that waits for one, as the caller has made it of a look: taken only where the job waits still
-- and its log ends there.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 seq of the write, 3 epoch, 4 payload, 5 state that it leads to (`queued` or an end), 6 the verdict or '' for
--       silence, 7 attempt record, 8 retention ms, 9 grace ms, 10 cost
-- Returns 1 where it was taken

local id, seq = ARGV[1], tonumber(ARGV[2])
local held = look_at(id, 'awaits', 'band')
if held.st ~= 'waiting' or held[1] ~= '1' or held.seq + 1 ~= seq then return 0 end
local due = redis.call('ZSCORE', WAIT, id)
if ARGV[6] == '' and due and tonumber(due) > now() then return 0 end
redis.call('ZREM', WAIT, id)
if ARGV[6] ~= '' then redis.call('HSET', JOB .. id, 'ruled', ARGV[6]) end
if ARGV[5] == 'queued' then
    write(JOB .. id, LOG .. id, LIVE .. id, held.epoch, ARGV[3], seq, 'status', ARGV[4],
        {'st', 'queued', 'rec', ARGV[7], 'awaits', '0'})
    enter_line(id, held.tenant, tonumber(held[2] or NORMAL), now())
else
    settle(id, held, ARGV[5], ARGV[3], seq, ARGV[4], whole(ARGV[8] + ARGV[9]), ARGV[10])
end
close()
return 1
