-- What becomes of a toll, as src/core/limit/account.rs has it.
-- KEYS: the account. ARGV: the kind of its terms, the time in ms ("" for the server's own, so that the
-- clocks of those who ask do not matter), how many are wanted (of places: whose), and then the terms.
-- Returns granted, remaining, reset_ms, pause_ms, good_ms. All numbers stay below 2^53.

local key, kind, want = KEYS[1], ARGV[1], ARGV[3]
local now = tonumber(ARGV[2])
-- The server forgets by its own clock; where another one counts, not too early.
local grace = 3600000
if not now then
  grace = 0
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local a, b, c, d = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local PART, REQUEST, SLICES = 8, 1000000, 32

local function whole(number)
  return string.format('%.0f', number)
end

local function batch(left)
  return math.min(tonumber(want), math.max(1, math.floor(left / PART)), left)
end

local function up(number, by)
  return math.floor((number + by - 1) / by)
end

local function keep(ttl)
  ttl = ttl + grace
  if ttl > 0 then redis.call('PEXPIRE', key, whole(ttl)) else redis.call('DEL', key) end
end

local function fixed(count, window)
  local kept = redis.call('HMGET', key, 'used', 'until')
  local used, ends = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
  if now >= ends then
    used, ends = 0, now + window
  end
  ends = math.min(ends, now + window)
  local left = math.max(0, count - used)
  local granted = batch(left)
  redis.call('HSET', key, 'used', whole(used + granted), 'until', whole(ends))
  keep(ends - now)
  return { granted, left - granted, ends - now, 0, ends - now }
end

local function sliding(count, window)
  local length = math.max(1, up(window, SLICES))
  local reach = up(window, length)
  local current = math.floor(now / length)
  local kept = redis.call('HGETALL', key)
  local used, here, moved, first, last = 0, 0, false, nil, nil
  for at = 1, #kept, 2 do
    local slice, taken = tonumber(kept[at]), tonumber(kept[at + 1])
    if slice < current - reach then
      redis.call('HDEL', key, kept[at])
    else
      if slice > current then
        redis.call('HDEL', key, kept[at])
        slice, moved = current, true
      end
      if slice == current then here = here + taken end
      used = used + taken
      first, last = math.min(first or slice, slice), math.max(last or slice, slice)
    end
  end
  local left = math.max(0, count - used)
  local granted = batch(left)
  if granted > 0 or moved then
    redis.call('HSET', key, whole(current), whole(here + granted))
    first, last = first or current, current
  end
  local reset = 0
  if first then
    reset = (first + reach + 1) * length - now
    keep((last + reach + 1) * length - now)
  end
  return { granted, left - granted, reset, 0, (current + 1) * length - now }
end

local function leaky(rate, burst)
  local kept = redis.call('HMGET', key, 'level', 'at')
  local size = burst * 1000 + REQUEST
  local leaked = rate * math.max(0, now - tonumber(kept[2] or 0))
  local level = math.max(0, tonumber(kept[1] or 0) - leaked)
  local left = math.floor(math.max(0, size - level) / REQUEST)
  local granted = batch(left)
  local filled, slack, pause, reset = level, 0, 0, 0
  if granted > 1 then slack = math.floor(left / PART) * REQUEST end
  if granted > 0 then
    filled = math.max(level, slack) + granted * REQUEST
    pause = up(level, rate)
  end
  redis.call('HSET', key, 'level', whole(filled), 'at', whole(now))
  keep(up(filled, rate))
  local remaining = math.floor(math.max(0, size - filled) / REQUEST)
  if remaining == 0 then reset = up(math.max(0, filled + REQUEST - size), rate) end
  return { granted, remaining, reset, pause, math.floor(slack / rate) }
end

local function enter(conn, burst, delay, hold, most)
  local latest = whole(now + hold)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf')) do
    redis.call('ZADD', key, latest, id)
  end
  local all, count = math.min(conn + burst, most), redis.call('ZCARD', key)
  if not redis.call('ZSCORE', key, want) then
    if count >= all then return { 0, 0, 0, 0, 0 } end
    count = count + 1
  end
  redis.call('ZADD', key, latest, want)
  keep(hold)
  return { 1, math.max(0, all - count), 0, math.floor((count - 1) / conn) * delay, 0 }
end

if kind == 'fixed' then return fixed(a, b) end
if kind == 'sliding' then return sliding(a, b) end
if kind == 'leaky' then return leaky(a, b) end
if kind == 'enter' then return enter(a, b, c, d, tonumber(ARGV[8])) end
redis.call('ZREM', key, want)
return { 0, 0, 0, 0, 0 }
