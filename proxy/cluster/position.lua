-- Where the history of this Redis is: the epoch, and the number of the newest event. The epoch changes with the data
-- (the key is gone) and with the server (another run: what it had not written down, or not replicated, is lost).
local POSITION = 'gateway:position'
local epoch, last, now

local function find_position()
  if epoch then
    return
  end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  local time, known = redis.call('TIME'), redis.call('HMGET', POSITION, 'run', 'epoch', 'last')
  now, last = time[1] * 1000000 + time[2], tonumber(known[3] or 0)
  epoch = known[1] == run and known[2]
  if not epoch then
    epoch = string.format('%.0f', math.max(last + 1, now))
    redis.call('HSET', POSITION, 'run', run, 'epoch', epoch)
  end
end
