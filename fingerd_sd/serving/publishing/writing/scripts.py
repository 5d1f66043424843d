# SPDX-License-Identifier: MIT
"""What the store does in one step when a host of the fleet writes: scripts in Lua.

All keys of one script are in one slot of a cluster. A script that is sent twice does no harm: what
is published is compared with what was read before.
"""

# The digest of the fields ARGV[from..], which says whether an entry is still what was read.
_DIGEST = """
local function digest(names)
  local found, parts = redis.call('HMGET', KEYS[1], unpack(names)), {}
  for i = 1, #names do
    parts[i] = found[i] and (#found[i] .. ':' .. found[i]) or '-'
  end
  return redis.sha1hex(table.concat(parts))
end
"""

# KEYS: person, recent, asked, spent, by. ARGV: login, digest, max_people, per_hour, at, how many
# names, the names, then the fields and their values; no field: nothing is left of the entry.
PUBLISH = (
    _DIGEST
    + """
local names, after = {}, 6 + tonumber(ARGV[6])
for i = 7, after do names[#names + 1] = ARGV[i] end
if digest(names) ~= ARGV[2] then return 'changed' end
if redis.call('EXISTS', KEYS[1]) == 0 and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then
  return 'too many'
end
local most = tonumber(ARGV[4])
if most > 0 and tonumber(redis.call('GET', KEYS[4]) or '0') >= most then return 'too often' end
redis.call('INCR', KEYS[4])
redis.call('EXPIRE', KEYS[4], 7200)
redis.call('DEL', KEYS[1])
if #ARGV == after then
  redis.call('DEL', KEYS[3])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('SREM', KEYS[5], ARGV[1])
else
  for i = after + 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
  redis.call('SADD', KEYS[5], ARGV[1])
end
return 'done'
"""
)

_DROP = """
local function drop()
  redis.call('DEL', KEYS[1], KEYS[3])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('SREM', KEYS[4], ARGV[1])
end
"""

# KEYS: person, recent, asked, by. ARGV: login, host, uid. It returns whose the entry is, where that
# is somebody else.
REMOVE = (
    _DROP
    + """
if redis.call('EXISTS', KEYS[1]) == 0 then return 'nothing' end
local found = redis.call('HMGET', KEYS[1], 'uid', 'host')
if found[1] ~= ARGV[3] and found[2] ~= ARGV[2] then return 'another' end
drop()
return 'done'
"""
)

# KEYS: by. ARGV: the start of the keys of people, the host, a cursor, how many to look at. It
# returns the next cursor, and logins and uids. A few at a time: meanwhile all others wait.
OURS = """
local kept, some = {}, redis.call('SSCAN', KEYS[1], ARGV[3], 'COUNT', ARGV[4])
for _, login in ipairs(some[2]) do
  local found = redis.call('HMGET', ARGV[1] .. login, 'uid', 'host')
  if found[2] == ARGV[2] and found[1] then
    kept[#kept + 1] = login
    kept[#kept + 1] = found[1]
  else
    redis.call('SREM', KEYS[1], login)
  end
end
return {some[1], kept}
"""
SOME = 500  # some 4 ms

# KEYS: person, recent, asked, by. ARGV: login, host, uid, whether the account is gone, the time
# now, how long an entry is kept, then names and values of what the account says, "" for nothing.
SWEEP = (
    _DROP
    + """
local found = redis.call('HMGET', KEYS[1], 'uid', 'host', 'gone')
if found[1] ~= ARGV[3] or found[2] ~= ARGV[2] then return 'another' end
if ARGV[4] == '1' then
  local now, since = tonumber(ARGV[5]), tonumber(found[3] or '')
  if since == nil or since > now then
    redis.call('HSET', KEYS[1], 'gone', ARGV[5])
  elseif now - since >= tonumber(ARGV[6]) then
    drop()
    return 'dropped'
  end
  return 'done'
end
if found[3] then redis.call('HDEL', KEYS[1], 'gone') end
for i = 7, #ARGV, 2 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then
    if ARGV[i + 1] == '' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
  end
end
return 'done'
"""
)

# KEYS: person, asked. ARGV: today, how many days are kept, how many networks of a day, then
# networks and counts; the network "" stands for all beyond that.
NOTE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local today, known = tonumber(ARGV[1]), 0
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local day = tonumber(string.match(field, '^%d+')) or 0
  if day <= today - tonumber(ARGV[2]) or day > today then
    redis.call('HDEL', KEYS[2], field)
  elseif day == today then
    known = known + 1
  end
end
for i = 4, #ARGV, 2 do
  known = known + 1
  local network = known > tonumber(ARGV[3]) and '' or ARGV[i]
  redis.call('HINCRBY', KEYS[2], ARGV[1] .. ':' .. network, ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[2], 86400 * (tonumber(ARGV[2]) + 1))
return 1
"""

# KEYS: asked. ARGV: the first day that counts. It returns two numbers.
ASKED = """
local times, networks, seen = 0, 0, {}
local found = redis.call('HGETALL', KEYS[1])
for i = 1, #found, 2 do
  local day, network = string.match(found[i], '^(%d+):(.*)$')
  if day and tonumber(day) >= tonumber(ARGV[1]) then
    times = times + (tonumber(found[i + 1]) or 0)
    if not seen[network] then seen[network], networks = true, networks + 1 end
  end
end
return {times, networks}
"""
