-- Puts a message into the history of its topic, the stream at `key`, of so many events for so many seconds. Answers
-- the message with one field more, `since`: its position. An entry has the position before it, too: the horizon of
-- the topic where it remembers nothing.
local function remember(message, key, events, seconds)
  find_position()
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  last = math.max(last + 1, now)
  local number, horizon = string.format('%.0f', last), string.format('%.0f', last - seconds * 1000000)
  local since, before = epoch .. '-' .. number, newest and string.match(newest[1], '^%d+') or horizon
  -- MessagePack: one entry more in a map of fewer than 15, a key of 5 bytes, a value of fewer than 256.
  message = string.char(message:byte(1) + 1) .. message:sub(2) .. '\165since\217' .. string.char(#since) .. since
  redis.call('XADD', key, 'MAXLEN', events, number .. '-0', 'message', message, 'before', before)
  redis.call('XTRIM', key, 'MINID', horizon)
  redis.call('EXPIRE', key, seconds)
  redis.call('HSET', POSITION, 'last', number)
  return message
end
