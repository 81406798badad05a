"""A durable session's stream in Redis: where a reader stands, what comes behind that, and what is missing.

A stream loses its oldest entries, by number, by age and by memory. Redis counts what was ever added to it:
what was removed is that number less those that are left. So a reader that knows how many it has seen knows
whether any was removed before it came to it. One that comes back knows the id of the last one only: if that
is still there, or is the last of all, nothing is missing; else something may be. How many came before it,
only who counts them all can say: until it is through with what there is, such a reader knows the least it
has seen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Answer = Sequence[Any]  # of Redis to `find` and `read`
Words = tuple[str | bytes | int, ...]
Entry = tuple[bytes, bytes]  # its id, and the message

FIELD = b"message"
BEGINNING = b"0-0"
_POSITION = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")

# Where a reader stands that has seen all up to ARGV[1]: whether nothing is missing behind it, how many it has
# seen at least, and the id. "" for ARGV[1]: it begins behind the last one.
_FIND = """
local added, last, length = 0, '0-0', redis.call('XLEN', KEYS[1])
local counts = redis.REDIS_VERSION_NUM -- as old as the count; of no stream there is nothing else to see
if redis.call('EXISTS', KEYS[1]) == 1 then
  local about = redis.call('XINFO', 'STREAM', KEYS[1])
  counts = false
  for at = 1, #about, 2 do
    if about[at] == 'entries-added' then added, counts = about[at + 1], true end
    if about[at] == 'last-generated-id' then last = about[at + 1] end
  end
end
if not counts then return redis.error_reply('ERR a durable session needs Redis 7, or Valkey') end
if ARGV[1] == '' or ARGV[1] == last then return {1, added, last} end
if ARGV[1] == '0-0' then return {added == length and 1 or 0, added - length, '0-0'} end
local there = #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
local behind = #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)
if there + behind == 0 then return {0, added - length, '0-0'} end -- it was another stream's
return {there, added - length + there, ARGV[1]}
"""

# Remove what is older than so many ms: ids begin with the time.
# And the oldest for as long as the whole takes too many bytes of memory; the newest stays. To measure that
# takes longer the more there is, so it is done only where a large message came: all others that there may be
# have a quarter of those bytes, and what is measured has the rest. A Redis that does not tell keeps it all.
_TRIM = """
local function trim_old(key, keep)
  local now = redis.call('TIME')
  redis.call('XTRIM', key, 'MINID', string.format('%.0f', now[1] * 1000 + now[2] / 1000 - keep))
end
local function trim_large(key, size, most, most_bytes)
  if 4 * size * most <= tonumber(most_bytes) then return end
  for left = redis.call('XLEN', key) - 1, 1, -1 do
    local bytes = redis.pcall('MEMORY', 'USAGE', key, 'SAMPLES', 0)
    if type(bytes) ~= 'number' or bytes <= 0.75 * most_bytes then return end
    redis.call('XTRIM', key, 'MAXLEN', left)
  end
end
"""

# At most ARGV[2] entries behind ARGV[1], and no further one after ARGV[5] bytes of them; how many were ever
# added, how many are left, whether more may follow, and whether any is missing before these, where at least
# ARGV[6] of all were seen. Then trim it, to ARGV[3] entries, ARGV[4] ms and ARGV[7] bytes. An agent sets with
# each message how long the whole has to live; here it is only seen to that it has a time, and that this
# outlasts the age.
_READ = (
    _TRIM
    + """
local added, entries, bytes, more, largest = 0, {}, 0, 1, 0
if redis.call('EXISTS', KEYS[1]) == 0 then return {entries, 0, 0, 0, 0} end
local about = redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #about, 2 do
  if about[at] == 'entries-added' then added = about[at + 1] end
end
local length, gap = redis.call('XLEN', KEYS[1]), 0
if added - length > tonumber(ARGV[6]) then gap = 1 - #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) end
local last, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
while more == 1 and #entries < most and bytes < most_bytes do
  local next = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 1)[1]
  if next then
    entries[#entries + 1], last = next, next[1]
    for _, word in ipairs(next[2]) do
      bytes, largest = bytes + #word, math.max(largest, #word)
    end
  else
    more = 0
  end
end
redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[3])
trim_old(KEYS[1], ARGV[4])
trim_large(KEYS[1], largest, ARGV[3], ARGV[7])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[1], 2 * ARGV[4]) end
return {entries, added, length, more, gap}
"""
)

# Add ARGV[2] as the field ARGV[4]; some ARGV[3] entries are kept, and those for ARGV[1] ms, in ARGV[5] bytes.
_ADD = (
    _TRIM
    + """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', ARGV[4], ARGV[2])
trim_old(KEYS[1], ARGV[1])
trim_large(KEYS[1], #ARGV[2], ARGV[3], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return id
"""
)


def is_position(text: str) -> bool:
    """Whether it may be the id of an entry."""
    return _POSITION.fullmatch(text) is not None


class Kept(NamedTuple):
    """What a stream holds: its last `messages`, each for `seconds`, in so many `bytes` of memory."""

    messages: int
    seconds: float
    bytes: int


class Batch(NamedTuple):
    """The messages of one read. `has_gap`: some are missing before them; `has_more`: more may follow."""

    entries: list[Entry]
    has_gap: bool
    has_more: bool


@dataclass(slots=True)
class Place:
    """Where a reader of one stream stands: behind the entry of `id`, at least so many of all `seen`."""

    id: bytes
    seen: int

    def take(self, answer: Answer) -> Batch:
        """What `read` has answered. It moves on."""
        found, added, left, more, gap = answer
        if added < self.seen:  # it is another stream, begun since, whose ids may be lower: from its beginning
            self.seen, self.id = 0, BEGINNING
            return Batch([], has_gap=False, has_more=True)
        self.seen = max(self.seen, added - left) + len(found) if more else added
        if found:
            self.id = found[-1][0]
        return Batch([(id_, _message(fields)) for id_, fields in found], bool(gap), bool(more))


def _message(fields: list[bytes]) -> bytes:
    """An entry's message; b"" for one of other fields."""
    pairs = dict(zip(fields[::2], fields[1::2], strict=True))
    return pairs.get(FIELD, b"")


def find(key: str, since: bytes) -> Words:
    """The command that asks where `since` is; b"" stands for the end."""
    return ("EVAL", _FIND, 1, key, since)


def found(answer: Answer) -> tuple[Place, bool]:
    """What that has answered: the place, and whether nothing is missing."""
    is_whole, seen, id_ = answer
    return Place(id_, max(0, seen)), bool(is_whole)


def read(key: str, place: Place, *, most: int, most_bytes: int, kept: Kept) -> Words:
    """The command for the next messages."""
    keep_ms = int(kept.seconds * 1000)
    words = (key, place.id, most, kept.messages, keep_ms, most_bytes, place.seen, kept.bytes)
    return ("EVAL", _READ, 1, *words)


def add(key: str, message: str | bytes, *, kept: Kept) -> Words:
    """The command that adds one."""
    return ("EVAL", _ADD, 1, key, int(kept.seconds * 1000), message, kept.messages, FIELD, kept.bytes)
