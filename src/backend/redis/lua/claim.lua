-- Gives the next jobs of a shard to workers, each under a lease of its own: one that lost its worker, else, of the tenant that
-- was served least, the one of the highest priority that waits longest. A claim that is sent again while its delivery runs
-- is given the same one. What becomes of one is nothing to the others.
--
-- KEYS  the shard's
-- ARGV  1 lease ms, 2 `status: running`, then of each claim: nonce, epoch
-- Returns of each: nil where nothing is in line that may be given · {'error', what Redis said} · {'given', id, token, spec, now,
--         submitted, first claimed, line of epochs, epoch, seq, snapshot or nil, entries behind it, or nil where they are that
--         it was queued and that it runs, raw text, attempt record or nil}
-- Work: a job of each; tenants that may not be served are put aside and names in line whose job is gone are passed over: at most
--       100 turns together.

local ARGS_EACH = 2
local at, turns_left, reached, count, first_came, nonces = now(), 100, nil, 0, nil, {}
local good_until = whole(at + ARGV[1])
for i = 3, #ARGV, ARGS_EACH do nonces[#nonces + 1] = ARGV[i] end
local running = redis.call('HMGET', GIVEN, unpack(nonces))
-- What this step has given, by nonce.
local given = {}

-- What stands of a job that may be given, by name.
local function look_at(id)
    local held = redis.call('HMGET', JOB .. id, 'st', 'epoch', 'seq', 'claims', 'spec', 'cost', 'sub', 'lin')
    return {
        st = held[1], epoch = held[2], seq = held[3], claims = held[4], spec = held[5], cost = held[6], sub = held[7],
        lin = held[8]
    }
end

-- The rest of one that was given before: where it stands, and what it has so far.
local function look_on(id, held)
    local more = redis.call('HMGET', JOB .. id, 'tok', 'dels', 'claimed', 'rec', 'snap', 'snapseq', 'tail')
    held.tok, held.dels, held.claimed, held.rec, held.snap, held.tail = more[1], more[2], more[3], more[4], more[5], more[7]
    held.behind = more[6] or 0
end

local function answer(id, held)
    -- A log that was only just opened is known without a look.
    local entries = held.behind and redis.call('XRANGE', LOG .. id, '(' .. held.behind .. '-0', '+')
    -- Whose log has no text has no raw one either.
    local raw = held.tail and redis.call('GET', RAW .. id) or ''
    return {'given', id, held.tok, held.spec, at, held.sub, held.claimed, held.lin, held.epoch, tonumber(held.seq),
        held.snap or false, entries or false, raw, held.rec}
end

local function give(id, turn, held, nonce, epoch)
    if held.claims or held.seq ~= '1' then look_on(id, held) end
    local claims = whole((held.claims or 0) + 1)
    held.tok, held.claimed = claims .. '.' .. nonce, held.claimed or stamp()
    local seq = held.seq + 1
    held.lin = write(JOB .. id, LOG .. id, LIVE .. id, held.epoch, epoch, seq, 'status', ARGV[2], {'st', 'running',
        'tok', held.tok, 'claims', claims, 'dels', whole((held.dels or 0) + 1), 'claimed', held.claimed}, held.lin)
    held.epoch, held.seq = epoch, seq
    later('HSET', GIVEN, nonce, id)
    hold(id, turn.tenant, good_until)
    first_came = first_came or turn.came
    count, given[nonce] = count + 1, id
    return answer(id, held)
end

local function claim(number, nonce, epoch)
    local before = given[nonce] or running[number]
    local held = before and look_at(before)
    if held and held.spec then
        look_on(before, held)
        later('ZADD', LEASE, good_until, before)
        return answer(before, held)
    end
    while turns_left > 0 do
        turns_left = turns_left - 1
        local id, turn = next_in_line()
        if not turn then return false end
        held = id and look_at(id)
        if held then reached = serve(turn, not held.claims and held.cost or 0) or reached end
        if held and held.spec and (held.st == 'queued' or held.st == 'recovering') then
            return give(id, turn, held, nonce, epoch)
        elseif id then
            later('SREM', OWN .. turn.tenant, id)
        end
    end
    return false
end

let_through()
local answers = each(2, ARGS_EACH, claim)
if reached then redis.call('SET', PACE, reached, 'PX', 2 * LEFT_MS) end
if count > 0 then drain(at, count, first_came) end
close()
return answers
