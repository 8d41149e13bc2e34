-- Looks at a job of which something is to be said from outside. Changes nothing.
--
-- KEYS  the shard's
-- ARGV  1 id
-- Returns nil for an unknown job, else {state, state that readers are told, seq, verdict before or nil, request or nil, whether its value waits for one (1), submitted, first claimed or nil,
--         attempt record or nil, now}

local held = redis.call('HMGET', JOB .. ARGV[1], 'st', 'seq', 'ruled', 'spec', 'awaits', 'sub', 'claimed', 'rec', 'told')
if not held[1] then
    -- No replica says that it is not known.
    let_through()
    return nil
end
return {held[1], held[9] or held[1], held[2], held[3], held[4], held[5], held[6], held[7], held[8], now()}
