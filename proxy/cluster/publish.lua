-- Publishes signals, one after another. For each of them, in ARGV: the channel; the message; a key that is kept
-- for as long as the same is not to be published again, or ""; for how many seconds that is; and the key of its topic's
-- history, of how many events, for how many seconds, of how many bytes, or four times "".
-- Answers how many subscribers each reached; what is a repetition is not published, and reached whom the first did.
local reached = {}
for first = 1, #ARGV, 8 do
  local channel, message, once, seconds, history, most, kept, bytes = unpack(ARGV, first, first + 7)
  local before = once ~= '' and redis.call('GET', once)
  if not before then
    if history ~= '' then
      message = remember(message, history, most, kept, bytes)
    end
    if once ~= '' then -- before it: where Redis takes no writes, each repetition would go out
      redis.call('SET', once, '0', 'EX', seconds)
    end
    before = redis.pcall('PUBLISH', channel, message)
    if type(before) == 'table' then -- refused: who repeats it may not be told that it went out
      if once ~= '' then
        redis.call('DEL', once)
      end
      return before
    end
    if once ~= '' then
      redis.call('SET', once, before, 'EX', seconds)
    end
  end
  reached[#reached + 1] = tonumber(before)
end
return reached
