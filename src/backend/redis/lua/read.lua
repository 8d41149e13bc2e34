-- Reads a log in one look: the tail behind what is held where rule E8 allows it and the entries are still there, else
-- the stored snapshot and the tail behind it.
--
-- KEYS  job, log
-- ARGV  1 epoch held or '', 2 seq held
-- Returns nil for an unknown job, else {line of epochs, epoch, seq, 0 (a tail) or 1, snapshot or nil, entries}
-- Work: the tail, which the writer bounds by its snapshots.

local job, log = KEYS[1], KEYS[2]
local held = redis.call('HMGET', job, 'lin', 'epoch', 'seq', 'snapseq')
if not held[2] then
    -- A master that became a replica may lag behind the one that has the job: no replica takes this, which changes nothing.
    redis.call('PERSIST', job)
    return nil
end
local last, snapshot_at = tonumber(held[3]), tonumber(held[4] or 0)

local function resumes(epoch, seq)
    if epoch == '' or seq < snapshot_at then return false end
    local _, stop = string.find(';' .. held[1], ';' .. epoch .. ',', 1, true)
    if not stop then return false end
    -- Up to the base at which the line left the epoch; up to the end of the log in the current one.
    local base = string.match(held[1], '^[^;]*;[^,]*,[^,]*,(%d+);', stop)
    return seq <= (tonumber(base) or last)
end

local seq = tonumber(ARGV[2])
if resumes(ARGV[1], seq) then
    return {held[1], held[2], last, 0, false, redis.call('XRANGE', log, '(' .. seq .. '-0', '+')}
end
local entries = redis.call('XRANGE', log, '(' .. snapshot_at .. '-0', '+')
return {held[1], held[2], last, 1, redis.call('HGET', job, 'snap'), entries}
