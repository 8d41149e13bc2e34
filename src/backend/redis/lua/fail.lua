-- Ends a delivery that failed: the job waits for another one, or ends where its deliveries are used up.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 token, 3 epoch, 4 seq, 5 opens (1 or 0), 6 `status: waiting`, 7 ms to wait, 8 deliveries that may fail,
--       9 the end, 10 its state, 11 ms that a dead letter is kept, 12 grace ms, 13 cost
-- Returns {'ok', 1 where the job has ended} · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'}

local id, seq = ARGV[1], tonumber(ARGV[4])
local refused, epoch = refuse(id, ARGV[2], ARGV[3], seq, ARGV[5] == '1', false)
if refused then return refused end
if tonumber(redis.call('HGET', JOB .. id, 'dels') or 0) >= tonumber(ARGV[8]) then
    settle(id, ARGV[10], epoch, ARGV[3], seq, ARGV[9], ARGV[11], ARGV[12], tonumber(ARGV[13]), true)
    return {'ok', 1}
end
wait(id, ARGV[2], epoch, ARGV[3], seq, ARGV[6], now() + tonumber(ARGV[7]), {})
return {'ok', 0}
