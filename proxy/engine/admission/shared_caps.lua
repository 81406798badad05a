-- Leases of links, counted over all nodes: see shared_caps.py, which calls this with many operations at once.
-- ARGV: prefix, node, lease_ms, key_seconds; then for each operation nine words: kind, link,
-- name of the limits, address key, user, cap an address, cap a user, rate count, rate window in ms. Of a place the
-- user is the topic, and the user's cap how many links that may have. Answers one text each.
local prefix, node = ARGV[1], ARGV[2]
local lease_ms, key_seconds = tonumber(ARGV[3]), ARGV[4]
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sweep_ms = 1000
local score_us = time[1] * 1000000 + time[2]
local nodes = prefix .. "nodes"

-- Links that are held in one call are in the order in which it names them: a microsecond apart.
local function score()
  score_us = score_us + 1
  return string.format("%.0f", score_us)
end

local function key_of(kind, name)
  return prefix .. kind .. ":" .. name
end

-- Milliseconds to wait, 0 if one more may connect: a token bucket, kept as the time when it is full again.
local function rate_wait(address, count, window_ms)
  local key = key_of("rate", address)
  local full_at = math.max(tonumber(redis.call("GET", key) or 0), now) + window_ms / count
  if full_at - now > window_ms then
    return math.ceil(full_at - now - window_ms)
  end
  redis.call("SET", key, string.format("%.3f", full_at), "PX", math.ceil(full_at - now) + 1)
  return 0
end

-- Forget what dead nodes hold of this key; looked at only when the key is full, and once a second: it looks at each
-- of up to a thousand, and whoever floods a full key would have it do so for each refusal.
local function sweep(kind, name)
  local key = key_of(kind, name)
  if not redis.call("SET", key_of("swept", kind .. ":" .. name), "", "NX", "PX", sweep_ms) then
    return
  end
  for _, member in ipairs(redis.call("ZRANGE", key, 0, 999)) do
    local holder = string.match(member, "^([^:]*):")
    local beat = redis.call("ZSCORE", nodes, holder)
    if not beat or tonumber(beat) < now - lease_ms then
      redis.call("ZREM", key, member)
    end
  end
end

local function is_full(kind, name, cap)
  local key = key_of(kind, name)
  if redis.call("ZCARD", key) < cap then
    return false
  end
  sweep(kind, name)
  return redis.call("ZCARD", key) >= cap
end

local function hold(kind, name, link)
  if name ~= "" then
    local key = key_of(kind, name)
    redis.call("ZADD", key, "NX", score(), node .. ":" .. link)
    redis.call("EXPIRE", key, key_seconds)
  end
end

local function let_go(kind, name, link)
  if name ~= "" then
    redis.call("ZREM", key_of(kind, name), node .. ":" .. link)
  end
end

local function admit(link, address, user, address_cap, user_cap, count, window_ms)
  if address ~= "" then
    local wait_ms = rate_wait(address, count, window_ms)
    if wait_ms > 0 then
      return "rate:" .. wait_ms
    end
    if is_full("address", address, address_cap) then
      return "address"
    end
  end
  if user ~= "" and is_full("user", user, user_cap) then
    return "user"
  end
  hold("address", address, link)
  hold("user", user, link)
  return ""
end

-- A link is let in whose user it was not asked for yet; of the user's the oldest give way where they are too many:
-- one, or more of them after nodes had let links in without Redis.
local function come(link, _, user, _, user_cap)
  let_go("user", user, link)  -- written again, before this was asked
  local replaced = {}
  if is_full("user", user, user_cap) then
    local key = key_of("user", user)
    local popped = redis.call("ZPOPMIN", key, redis.call("ZCARD", key) - user_cap + 1)
    for at = 1, #popped, 2 do
      replaced[#replaced + 1] = popped[at]  -- node:link
    end
  end
  hold("user", user, link)
  return #replaced > 0 and "replaces:" .. table.concat(replaced, " ") or ""
end

-- Those that beat, looked up once a call.
local beating
local function beating_nodes()
  beating = beating or redis.call("ZRANGEBYSCORE", nodes, now - lease_ms, "+inf")
  return beating
end

local function room_key(topic, holder)
  return key_of("room", holder .. ":" .. topic)
end

local function hold_place(topic, link)
  local key = room_key(topic, node)
  redis.call("SADD", key, link)
  redis.call("EXPIRE", key, key_seconds)
end

local function admit_place(link, _, topic, _, most)
  local held = 0
  for _, holder in ipairs(beating_nodes()) do
    held = held + redis.call("SCARD", room_key(topic, holder))
  end
  if held >= most then
    return "full"
  end
  hold_place(topic, link)
  return ""
end

local operations = {
  admit_place = admit_place,
  keep_place = function(link, _, topic)
    hold_place(topic, link)
    return ""
  end,
  release_place = function(link, _, topic)
    redis.call("SREM", room_key(topic, node), link)
    return ""
  end,
  admit = admit,
  come = come,
  release = function(link, address, user)
    let_go("address", address, link)
    let_go("user", user, link)
    return ""
  end,
  keep = function(link, address, user)
    hold("address", address, link)
    hold("user", user, link)
    return ""
  end,
  -- "lost" if others took this node for dead meanwhile, or the store lost its memory.
  beat = function()
    local before = redis.call("ZSCORE", nodes, node)
    redis.call("ZADD", nodes, now, node)
    redis.call("ZREMRANGEBYSCORE", nodes, "-inf", now - 100 * lease_ms)
    redis.call("EXPIRE", nodes, key_seconds)
    beating = nil
    return (before and tonumber(before) >= now - lease_ms) and "" or "lost"
  end,
  leave = function()
    redis.call("ZREM", nodes, node)
    beating = nil
    return ""
  end,
}

local function named(limits, name)
  return name == "" and "" or limits .. ":" .. name
end

local answers = {}
for at = 5, #ARGV, 9 do
  local limits = ARGV[at + 2]
  answers[#answers + 1] = operations[ARGV[at]](
    ARGV[at + 1], named(limits, ARGV[at + 3]), named(limits, ARGV[at + 4]),
    tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  )
end
return answers
