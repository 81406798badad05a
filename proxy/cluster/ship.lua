-- Publishes signals, one after another, if it is the turn of who asks for it; else the answer is nil.
-- KEYS: who has the turn; the set of what was in the call before this one, whose answer may have been lost.
-- ARGV: who asks; for how many milliseconds the turn is its own from now on; for how many seconds the set is kept;
-- and of each signal the channel, the message, its own key, and its topic's history as for publish.lua.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local shipped, again, refusal = {}, false, nil
local function ship(channel, message, history, most, kept, bytes)
  if history ~= '' then
    message = remember(message, history, most, kept, bytes)
  end
  redis.call('PUBLISH', channel, message)
end
for first = 4, #ARGV, 7 do
  local channel, message, key, history, most, kept, bytes = unpack(ARGV, first, first + 6)
  if redis.call('SISMEMBER', KEYS[2], key) == 1 then
    again = true
  else
    local is_shipped, said = pcall(ship, channel, message, history, most, kept, bytes)
    if not is_shipped then -- what is before it went out, and is not to go out again when all of this is repeated
      refusal = redis.error_reply((type(said) == 'table' and said.err or said) .. ' ' .. history)
      break
    end
  end
  shipped[#shipped + 1] = key
end
if not again then -- else more of the call before may come again in the next
  redis.call('DEL', KEYS[2])
end
if #shipped > 0 then
  redis.call('SADD', KEYS[2], unpack(shipped))
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return refusal or 1
