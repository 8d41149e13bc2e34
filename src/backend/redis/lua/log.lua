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

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
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
local function write(job, log, channel, epoch, new_epoch, seq, kind, payload, fields)
    local parent = ''
    if new_epoch ~= epoch then
        parent = epoch or '-'
        local lin = (redis.call('HGET', job, 'lin') or '') .. new_epoch .. ',' .. parent .. ',' .. (seq - 1) .. ';'
        local _, count = string.gsub(lin, ';', '')
        if count > LINE_MAX then lin = string.sub(lin, string.find(lin, ';', 1, true) + 1) end
        fields[#fields + 1] = 'lin'
        fields[#fields + 1] = lin
        fields[#fields + 1] = 'epoch'
        fields[#fields + 1] = new_epoch
    end
    fields[#fields + 1] = 'seq'
    fields[#fields + 1] = seq
    redis.call('XADD', log, seq .. '-0', 'e', new_epoch, 'o', parent, 'k', kind, 'p', payload)
    redis.call('HSET', job, unpack(fields))
    local place = new_epoch .. ' ' .. seq .. ' ' .. parent .. ' '
    if #payload > FRAME_MAX then
        redis.call(PUBLISH, channel, place .. '\n')
    else
        redis.call(PUBLISH, channel, place .. kind .. '\n' .. payload)
    end
end
