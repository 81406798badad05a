"""A real Socket.IO server, as an ASGI application: what stands behind `/socket.io/` in tests."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
application = socketio.ASGIApp(server)


@server.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    await server.emit("welcome", {"user_id": environ.get("HTTP_X_USER_ID")}, to=sid)


@server.on("connect", namespace="/admin")  # type: ignore[untyped-decorator]
async def connect_to_admin(sid: str, environ: dict[str, Any], auth: Any) -> None:
    """Anybody may."""


@server.event  # type: ignore[untyped-decorator]
async def add(sid: str, numbers: list[int]) -> int:
    """Answers by acknowledgement, and by an event."""
    await server.emit("added", {"sum": sum(numbers)}, to=sid)
    return sum(numbers)


@server.event  # type: ignore[untyped-decorator]
async def message(sid: str, sent: object) -> None:
    """Sends it back; asked to `please send 70000`, so many characters."""
    words = sent.split(" ") if isinstance(sent, str) else []
    asked = words[:2] == ["please", "send"]
    await server.send("x" * int(words[2]) if asked else sent, to=sid)
