-- Extends leases.
--
-- KEYS  the shard's
-- ARGV  1 lease ms, then id and token of each, at most 500
-- Returns for each, in their order: 'until' · 'cancel' (it is good, and the job is to be cancelled) · 'lost'

let_through()
local answers = {}
local good_until = now() + tonumber(ARGV[1])
for at = 2, #ARGV, 2 do
    local id = ARGV[at]
    local held = redis.call('HMGET', JOB .. id, 'st', 'tok', 'cancel', 'fin')
    -- Whoever has kept an end is let be until it has told it.
    if (held[1] ~= 'running' and not held[4]) or held[2] ~= ARGV[at + 1] then
        answers[#answers + 1] = 'lost'
    else
        redis.call('ZADD', LEASE, 'XX', good_until, id)
        answers[#answers + 1] = held[3] and 'cancel' or 'until'
    end
end
return answers
