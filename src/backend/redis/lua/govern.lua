-- Says what tenants may have from now on, and lets those that stand aside try again: who may still not be served steps
-- aside when its turn comes. A call without shares goes on where one before has stopped.
--
-- KEYS  the shard's
-- ARGV  1 how many tenants at most (500), then tenant and share of each, '' for any other
-- Returns 1 where more stand aside

if ARGV[2] then
    redis.call('DEL', SHARES)
    for i = 2, #ARGV, 2 do redis.call('HSET', SHARES, ARGV[i], ARGV[i + 1]) end
end
local begin = pace()
local tenants = redis.call('ZRANGE', ASIDE, 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #tenants, 2 do
    local tenant = tenants[i]
    local first = redis.call('ZRANGE', LINE .. tenant, 0, 0, 'WITHSCORES')[2]
    redis.call('ZREM', ASIDE, tenant)
    if first then stand(tenant, math.max(begin, tenants[i + 1]), first) end
end
wake(#tenants / 2)
return redis.call('EXISTS', ASIDE)
