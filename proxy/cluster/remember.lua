-- Without its oldest entries, so that those which are left have at most so many bytes together; the newest stays.
-- Each entry has the number of all bytes that its topic was ever given, its own with them: `total` is the newest's.
local function trim_bytes(key, newest, total, most)
  local place, some = '-', 1
  repeat -- twice as many each time
    local entries = redis.call('XRANGE', key, place, '+', 'COUNT', some)
    for at, entry in ipairs(entries) do
      local fields = entry[2]
      local before = fields[5] == 'bytes' and tonumber(fields[6]) and fields[6] - #fields[2]
      if entry[1] == newest or before and total - before <= most then
        if place ~= '-' or at > 1 then
          redis.call('XTRIM', key, 'MINID', entry[1])
        end
        return
      end
      place = '(' .. entry[1]
    end
    some = math.min(2 * some, 32)
  until #entries == 0
end

-- Puts a message into the history of its topic, the stream at `key`, of so many events for so many seconds and of so
-- many bytes. Answers the message with one field more, `since`: its position. An entry has the position before it,
-- too: the horizon of the topic where it remembers nothing.
local function remember(message, key, events, seconds, bytes)
  find_position()
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  last = math.max(last + 1, now)
  local number, horizon = string.format('%.0f', last), string.format('%.0f', last - seconds * 1000000)
  local since, before = epoch .. '-' .. number, newest and string.match(newest[1], '^%d+') or horizon
  -- MessagePack: one entry more in a map of fewer than 15, a key of 5 bytes, a value of fewer than 256.
  message = string.char(message:byte(1) + 1) .. message:sub(2) .. '\165since\217' .. string.char(#since) .. since
  local total = (newest and newest[2][5] == 'bytes' and tonumber(newest[2][6]) or 0) + #message
  redis.call('XADD', key, 'MAXLEN', events, number .. '-0',
    'message', message, 'before', before, 'bytes', string.format('%.0f', total))
  redis.call('XTRIM', key, 'MINID', horizon)
  if total > tonumber(bytes) then
    trim_bytes(key, number .. '-0', total, tonumber(bytes))
  end
  redis.call('EXPIRE', key, seconds)
  redis.call('HSET', POSITION, 'last', number)
  return message
end
