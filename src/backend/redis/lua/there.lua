-- Whether jobs are known here. A master that became a replica may lag behind the one that has them: no replica takes this,
-- which changes nothing.
--
-- KEYS  the shard's
-- ARGV  their ids, at most 500
-- Returns how many are

let_through()
local there = 0
for _, id in ipairs(ARGV) do there = there + redis.call('EXISTS', JOB .. id) end
return there
