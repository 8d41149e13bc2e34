-- Ends a job, with its result.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 token, 3 epoch, 4 seq, 5 opens (1 or 0), 6 the end, 7 its state, 8 retention ms, 9 grace ms, 10 cost, 11 whether the
--       end says why (1 or 0)
-- Returns {'ok'} · {'unviewed', ms} it is cancelled since nobody views it: send it with an end that says so · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'}

local id, seq = ARGV[1], tonumber(ARGV[4])
local refused, epoch = refuse(id, ARGV[2], ARGV[3], seq, ARGV[5] == '1', ARGV[7] == 'cancelled')
if refused then return refused end
if ARGV[7] == 'cancelled' and ARGV[11] ~= '1' then
    local held = redis.call('HMGET', JOB .. id, 'given', 'unv')
    if held[1] then return {'unviewed', held[2]} end
end
settle(id, ARGV[7], epoch, ARGV[3], seq, ARGV[6], ARGV[8], ARGV[9], tonumber(ARGV[10]))
return {'ok'}
