-- Keeps a word for all nodes of the fleet for a while, and says that there is one.
--
-- KEYS  1 notices  zset  word → ms until which it holds
-- ARGV  1 word, 2 ms, 3 words that are kept at most
-- Returns 1 where it is news

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local holds = at + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at)
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if held and tonumber(held) >= holds then return 0 end
redis.call('ZADD', KEYS[1], holds, ARGV[1])
-- Where there are too many, those go that would go first.
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[3]))
redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
redis.call('PUBLISH', KEYS[1], '')
return 1
