-- How much there is of what.
--
-- KEYS  the shard's
-- Returns {in line, running, waiting, ended, dead letters, submission of the one at the head of the line or nil, now}

local head = redis.call('ZRANGE', READY, 0, 0)[1]
return {redis.call('ZCARD', READY), redis.call('ZCARD', LEASE), redis.call('ZCARD', WAIT), redis.call('ZCARD', ENDED),
    redis.call('ZCARD', DEAD), head and redis.call('HGET', JOB .. head, 'sub') or false, now()}
