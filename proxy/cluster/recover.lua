-- What some topics remember behind a position. ARGV: its epoch and number, or twice ""; how many events and bytes are
-- enough; and the key of each topic.
-- Answers the epoch; the position now; whether that is all; and of each topic whether it exists, the position before
-- its next entry ("" where there is none), and its entries: none of any topic where that is not all.
find_position()
last = math.max(last, now - 1) -- the next one is greater
redis.call('HSET', POSITION, 'last', string.format('%.0f', last))
local found, since, events_left, bytes_left =
  {epoch, string.format('%.0f', last), 1}, ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[1] ~= epoch then
  return found
end
local function take(entry, topic)
  local fields = entry[2]
  events_left, bytes_left = events_left - 1, bytes_left - #fields[2]
  if topic[2] == '' and fields[3] == 'before' then -- else somebody else has written it
    topic[2] = string.match(fields[4], '^%d+$') or ''
  end
  topic[3][#topic[3] + 1] = entry
  if events_left < 0 or bytes_left < 0 or topic[2] ~= '' and tonumber(topic[2]) > tonumber(since) then
    found[3] = 0
  end
end
for first = 5, #ARGV do
  local key, place, topic = ARGV[first], since .. '-0', {redis.call('EXISTS', ARGV[first]), '', {}}
  local entries, some = nil, 1
  found[#found + 1] = topic
  repeat -- twice as many each time, so that of large ones hardly more is read than may be told
    entries = found[3] == 1 and redis.call('XRANGE', key, '(' .. place, '+', 'COUNT', some) or {}
    for _, entry in ipairs(entries) do
      place = entry[1]
      take(entry, topic)
    end
    some = math.min(2 * some, 32)
  until #entries == 0
end
if found[3] == 0 then
  for at = 4, #found do
    found[at][3] = {}
  end
end
return found
