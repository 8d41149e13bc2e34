-- How much there is of what.
--
-- KEYS  the shard's
-- Returns {in line, running, waiting, ended, dead letters, submission of the one that is in line longest or nil, now, whether
--         all are paused (1 or 0), tenants that are}

local all = redis.call('SISMEMBER', PAUSED, '')
local head = redis.call('ZRANGE', READY, 0, 0)[1]
return {redis.call('ZCARD', READY), redis.call('ZCARD', LEASE), redis.call('ZCARD', WAIT), redis.call('ZCARD', ENDED),
    redis.call('ZCARD', DEAD), head and redis.call('HGET', JOB .. head, 'sub') or false, now(), all,
    redis.call('SCARD', PAUSED) - all}
