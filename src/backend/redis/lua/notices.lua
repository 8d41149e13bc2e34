-- The words that hold now. Changes nothing.
--
-- KEYS  1 notices
-- ARGV  1 how many at most
-- Returns for each {word, ms for which it still holds}

local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
local held = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #held, 2 do found[#found + 1] = {held[i], tonumber(held[i + 1]) - at} end
return found
