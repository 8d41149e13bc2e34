-- The jobs that were given up, the newest first, from their beginning or behind a place, or one of them with its request.
-- Changes nothing.
--
-- KEYS  the shard's
-- ARGV  1 how many are looked at, at most (100), 2 the one that is meant, or '', 3 the place: ms at which one was given up,
--       or '', 4 its id, also of one that is none any more
-- Returns {for each {id, tenant, submitted, given up, now, the end; and of the one: request, shape}, of the last that was
--     looked at, where others follow: given up, id}. One whose end is not told yet is passed over.

-- Whether an id stands before another as Redis orders members. Lua would compare texts as the server's locale does.
local function is_before(id, other)
    for i = 1, #id do
        local one, another = string.byte(id, i), string.byte(other, i)
        if one ~= another then return one < (another or 0) end
    end
    return #id < #other
end

-- How many letters are not behind a place. Those of its millisecond are halved until it is found.
local function count_to(died, id)
    local low = redis.call('ZCOUNT', DEAD, '(' .. died, '+inf')
    local high = low + redis.call('ZCOUNT', DEAD, died, died)
    while low < high do
        local middle = math.floor((low + high) / 2)
        if is_before(redis.call('ZREVRANGE', DEAD, middle, middle)[1], id) then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local one, ids, follow = ARGV[2] ~= '', {ARGV[2]}, 0
if not one then
    local from = ARGV[3] ~= '' and count_to(ARGV[3], ARGV[4]) or 0
    ids = redis.call('ZREVRANGE', DEAD, from, from + ARGV[1] - 1)
    follow = redis.call('ZCARD', DEAD) - from - #ids
end
local found, last = {}, nil
for _, id in ipairs(ids) do
    local died = redis.call('ZSCORE', DEAD, id)
    local held = redis.call('HMGET', JOB .. id, 'tenant', 'sub', 'fin')
    local end_of = redis.call('XREVRANGE', LOG .. id, '+', '-', 'COUNT', 1)[1]
    if died and held[1] and end_of and not held[3] then
        local letter = {id, held[1], held[2], died, now(), end_of[2][8]}
        if one then
            letter[7] = redis.call('HGET', JOB .. id, 'spec')
            letter[8] = redis.call('HGET', JOB .. id, 'shape')
        end
        found[#found + 1] = letter
    end
    last = {died, id}
end
if follow <= 0 then return {found} end
return {found, last[1], last[2]}
