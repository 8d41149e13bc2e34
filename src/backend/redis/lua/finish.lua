-- Ends jobs of one shard, with their results. What becomes of one is nothing to the others.
--
-- KEYS  the shard's
-- ARGV  1 retention ms, 2 grace ms, then of each: id, token, epoch, seq, opens (1 or 0), the end, its state, cost, whether the
--       end says why (1 or 0)
-- Returns of each: {'ok'} · {'unviewed', ms} it is cancelled since nobody views it: send it with an end that says so ·
--         {'dup'} · {'rolled_back', epoch, seq} · {'lost'} · {'cancel'} · {'error', what Redis said}

local ARGS_EACH = 9
local KEPT_MS = whole(ARGV[1] + ARGV[2])

local function finish(_, id, token, epoch, seq, opens, payload, state, cost, says_why)
    local held = look_at(id)
    local refused = refuse(id, held, token, epoch, tonumber(seq), opens == '1', state == 'cancelled')
    if refused then return refused end
    if state == 'cancelled' and says_why ~= '1' and redis.call('HEXISTS', JOB .. id, 'given') == 1 then
        return {'unviewed', held.unv}
    end
    settle(id, held, state, epoch, seq, payload, KEPT_MS, cost)
    return {'ok'}
end

local answers = each(2, ARGS_EACH, finish)
close()
return answers
