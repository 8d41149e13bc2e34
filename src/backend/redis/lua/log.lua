-- Fragment: the log of a job. Every step that writes an event does it through `write`, and nothing else publishes.
--
-- A log is a stream whose entries are named `<seq>-0` and hold: e epoch, o the epoch that was current before where the
-- entry opens one ('-' for the first of a job, else ''), k kind, p payload (opaque). The job's hash holds where it
-- ends (epoch, seq), its line of epochs (lin: `epoch,parent,base;` each, oldest first), and the stored snapshot with
-- its seq (snap, snapseq). `PUBLISH` is the word by which entries are published, and stands before this.

-- As many openings as a line of epochs remembers.
local LINE_MAX = 64
-- Bytes of a payload that are published; of a longer one only its position, and readers read it.
local FRAME_MAX = 262144

-- The time, ms: the same for all that a step does.
local time
local function now()
    if not time then
        local told = redis.call('TIME')
        time = told[1] * 1000 + math.floor(told[2] / 1000)
    end
    return time
end

-- A whole number as text. Left to a call it is written as a fraction would be, which takes three times as long.
local function whole(number)
    return string.format('%d', number)
end

-- The time as text.
local time_as_text
local function stamp()
    time_as_text = time_as_text or whole(now())
    return time_as_text
end

-- Takes a step for each of many, with its number and its arguments: `count` each, behind the first `from` of all. An error at
-- one is the answer to that one; that the server is not the one to ask is the answer to all.
local function each(from, count, step)
    local answers = {}
    for i = 1, (#ARGV - from) / count do
        local args = from + (i - 1) * count
        local done, answer = pcall(step, i, unpack(ARGV, args + 1, args + count))
        if not done then
            -- Errors are tables since Redis 7, texts before.
            local said = type(answer) == 'table' and answer.err or tostring(answer)
            if string.find(said, 'READONLY', 1, true) or string.find(said, 'NOREPLICAS', 1, true) then error(answer, 0) end
            answer = {'error', said}
        end
        answers[i] = answer
    end
    return answers
end

-- Where a write fits the log that ends at (epoch, last): 'next', 'dup' where it stands there, else 'back'.
local function fit(job, epoch, last, write_epoch, write_seq, opens)
    if write_epoch == epoch and write_seq <= last then return 'dup' end
    if write_seq ~= last + 1 then return 'back' end
    if write_epoch == epoch then return 'next' end
    if not opens then return 'back' end
    local lin = ';' .. (redis.call('HGET', job, 'lin') or '')
    if string.find(lin, ';' .. write_epoch .. ',', 1, true) then return 'back' end
    return 'next'
end

-- Writes an entry that fits, and publishes it. `fields` are set with it. The parent is read here, never sent (rule E1).
-- `lin` is the line of epochs where the caller has read it; returns it as it is then, where an epoch is opened.
local function write(job, log, channel, epoch, new_epoch, seq, kind, payload, fields, lin)
    local parent, at = '', whole(seq)
    if new_epoch ~= epoch then
        parent = epoch or '-'
        if lin == nil then lin = epoch and redis.call('HGET', job, 'lin') end
        lin = (lin or '') .. new_epoch .. ',' .. parent .. ',' .. whole(seq - 1) .. ';'
        local _, count = string.gsub(lin, ';', '')
        if count > LINE_MAX then lin = string.sub(lin, string.find(lin, ';', 1, true) + 1) end
        fields[#fields + 1] = 'lin'
        fields[#fields + 1] = lin
        fields[#fields + 1] = 'epoch'
        fields[#fields + 1] = new_epoch
    end
    fields[#fields + 1] = 'seq'
    fields[#fields + 1] = at
    redis.call('XADD', log, at .. '-0', 'e', new_epoch, 'o', parent, 'k', kind, 'p', payload)
    redis.call('HSET', job, unpack(fields))
    local place = new_epoch .. ' ' .. at .. ' ' .. parent .. ' '
    if #payload > FRAME_MAX then
        redis.call(PUBLISH, channel, place .. '\n')
    else
        redis.call(PUBLISH, channel, place .. kind .. '\n' .. payload)
    end
    return lin
end
