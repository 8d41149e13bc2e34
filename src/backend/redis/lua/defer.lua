-- Puts a running job back without fault: the delivery does not count.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 token, 3 epoch, 4 seq, 5 opens (1 or 0), 6 `status: waiting`, 7 attempt record, '' where
--       it keeps the one it has, 8 ms to wait,
--       9 whether its value waits for a verdict (1 or 0)
-- Returns {'ok'} · {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'}

local id, seq = ARGV[1], tonumber(ARGV[4])
local held = look_at(id, 'dels')
local refused = refuse(id, held, ARGV[2], ARGV[3], seq, ARGV[5] == '1', false)
if refused then return refused end
local fields = {'dels', math.max((held[1] or 1) - 1, 0), 'awaits', ARGV[9]}
if ARGV[7] ~= '' then
    fields[#fields + 1] = 'rec'
    fields[#fields + 1] = ARGV[7]
end
wait(id, held, ARGV[3], seq, ARGV[6], now() + ARGV[8], fields)
close()
return {'ok'}
