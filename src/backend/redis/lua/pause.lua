-- Pauses a tenant, or the whole shard, or lets it go on.
--
-- KEYS  the shard's
-- ARGV  1 tenant, '' for all, 2 whether it is paused (1 or 0), 3 how many may be
-- Returns 1, or 0 where as many are

local tenant = ARGV[1]
if ARGV[2] == '1' then
    local count = redis.call('SCARD', PAUSED) - redis.call('SISMEMBER', PAUSED, '')
    local new = tenant ~= '' and redis.call('SISMEMBER', PAUSED, tenant) == 0
    if new and count >= tonumber(ARGV[3]) then return 0 end
    -- Who is paused stands aside when its turn comes.
    redis.call('SADD', PAUSED, tenant)
    return 1
end
redis.call('SREM', PAUSED, tenant)
if tenant == '' then
    wake(redis.call('ZCARD', READY))
elseif seat(tenant) then
    wake(redis.call('ZCARD', LINE .. tenant))
end
return 1
