# SPDX-License-Identifier: MIT
"""What a host writes into the store: its sessions, which expire, and a mark that they changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fingerd_sd.store.presence.told import Told, octets_of

if TYPE_CHECKING:
    from fingerd_sd.store.server import Server

EXPIRY = 90  # seconds, by the store's clock: a host that dies is gone by then
FORGOTTEN = 3600  # seconds after which a host that tells nothing is in no list any more

# A change has a number: the microsecond by the store's clock, or the next one that is free. So it
# is higher than all before it, those that a failover has lost too. When a list is begun, or a host
# is forgotten, the list is another one: whoever sees that reads all of it.
#
# KEYS: the host's sessions; hosts by the time when they expire, in milliseconds; hosts by the
# number of their last change; when that list was begun. ARGV: the host, its sessions, and the
# seconds until they expire.
_TELL = f"""
local time = redis.call('TIME')
local micro = time[1] * 1000000 + time[2]
local now = math.floor(micro / 1000)
redis.call('SET', KEYS[4], micro, 'NX')
local expires = redis.call('ZSCORE', KEYS[2], ARGV[1])
if expires and tonumber(expires) > now and redis.call('GET', KEYS[1]) == ARGV[2] then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[3], math.max(micro, (tonumber(last[2]) or 0) + 1), ARGV[1])
end
redis.call('ZADD', KEYS[2], now + ARGV[3] * 1000, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - {FORGOTTEN} * 1000, 'LIMIT', 0, 100)
for _, host in ipairs(gone) do
  redis.call('ZREM', KEYS[2], host)
  redis.call('ZREM', KEYS[3], host)
  redis.call('SET', KEYS[4], micro)
end
return 1
"""
_LEAVE = """
redis.call('DEL', KEYS[1])
local time = redis.call('TIME')
redis.call('ZADD', KEYS[2], time[1] * 1000, ARGV[1])
return 1
"""


async def tell(server: Server, host: str, sessions: Sequence[Told], expiry: int = EXPIRY) -> None:
    """Tell the store that `host` has `sessions` now. Raises StoreError."""
    await server.script(_TELL, _keys(server, host), (host, octets_of(sessions), expiry))


async def leave(server: Server, host: str) -> None:
    """Take back what `host` has told. Raises StoreError."""
    await server.script(_LEAVE, _keys(server, host), (host,))


def _keys(server: Server, host: str) -> tuple[str, ...]:
    names = server.names
    return names.sessions_of(host), names.hosts, names.told, names.began
