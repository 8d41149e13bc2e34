-- Ends a delivery that failed: the job waits for another one, or ends where its deliveries are used up.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 token, 3 epoch, 4 seq, 5 opens (1 or 0), 6 `status: waiting`, 7 ms to wait, 8 deliveries that may fail,
--       9 the end, 10 its state, 11 ms that a dead letter is kept, 12 grace ms, 13 cost
-- Returns {'ok', 1 where the job has ended} · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'}

local id, seq = ARGV[1], tonumber(ARGV[4])
local held = look_at(id, 'dels')
local refused = refuse(id, held, ARGV[2], ARGV[3], seq, ARGV[5] == '1', false)
if refused then return refused end
local ends = tonumber(held[1] or 0) >= tonumber(ARGV[8])
if ends then
    settle(id, held, ARGV[10], ARGV[3], seq, ARGV[9], whole(ARGV[11] + ARGV[12]), ARGV[13], true)
else
    wait(id, held, ARGV[3], seq, ARGV[6], now() + ARGV[7], {})
end
close()
return {'ok', ends and 1 or 0}
