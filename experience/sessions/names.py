"""What a session's parts are called in Redis; docs/sessions.md tells agents."""

from __future__ import annotations

MOST_ID_CHARS = 128


def auth_key(session_id: str) -> str:
    """Holds the token that lets one client in."""
    return f"session:{session_id}:auth"


def claim_key(session_id: str, connection_id: str) -> str:
    """Holds it while the handshake that has won it is under way."""
    return f"session:{session_id}:auth:{connection_id}"


def mode_key(session_id: str) -> str:
    """Says whether it is `durable` or `live`; not there: as settings have it."""
    return f"session:{session_id}:mode"


def down_channel(session_id: str) -> str:
    """What the agent says; of a durable session, the stream of it, too."""
    return f"session:{session_id}:down"


def up_channel(session_id: str) -> str:
    """What the client says; likewise."""
    return f"session:{session_id}:up"
