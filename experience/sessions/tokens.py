"""The one-time token of a session: compared, taken by one handshake of all nodes', and given back.

To take it is to rename its key, if it still holds what the client has shown: Redis does that for one of those
who ask, and keeps the time that the token has left. What a failed handshake gives back is that key, renamed
again; one that was not the one to take it has no such key, so that whatever became of its question, it gives
back nothing that another has used.
"""

from __future__ import annotations

from experience.sessions.names import auth_key, claim_key, mode_key

# The session's mode, "" for none, to the one who has it now; nil to everybody else.
TAKE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
redis.call('RENAME', KEYS[1], KEYS[2])
return redis.call('GET', KEYS[3]) or ''
"""
# 1 if there was something to give back. A token that was made meanwhile is the newer one, and stays.
GIVE_BACK = """
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if redis.call('RENAMENX', KEYS[2], KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end
return 1
"""


def take(session_id: str, connection_id: str, token: bytes) -> tuple[str | bytes | int, ...]:
    """The command that takes it."""
    keys = auth_key(session_id), claim_key(session_id, connection_id), mode_key(session_id)
    return ("EVAL", TAKE, 3, *keys, token)


def give_back(session_id: str, connection_id: str) -> tuple[str | bytes | int, ...]:
    """The command that gives it back."""
    return ("EVAL", GIVE_BACK, 2, auth_key(session_id), claim_key(session_id, connection_id))


def spend(session_id: str, connection_id: str) -> tuple[str | bytes | int, ...]:
    """The command that forgets it: its client is in."""
    return ("UNLINK", claim_key(session_id, connection_id))
