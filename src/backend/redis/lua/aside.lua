-- Sets a job that cannot be read aside for a while: it stays as it is, and holds no other up. What is no job any more is
-- forgotten.
--
-- KEYS  the shard's
-- ARGV  1 id, 2 ms

let_through()
local id, at = ARGV[1], now()
local is_there = redis.call('EXISTS', JOB .. id) == 1
for _, index in ipairs({LEASE, CANCEL, WAIT, UNVIEWED, UNTOLD}) do
    local due = redis.call('ZSCORE', index, id)
    if due and tonumber(due) <= at then
        if is_there then
            redis.call('ZADD', index, at + tonumber(ARGV[2]), id)
        else
            redis.call('ZREM', index, id)
            let_go_of_none(id)
        end
    end
end
close()
return 1
