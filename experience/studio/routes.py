"""How sockets reach the studio API: one pool, two routes.

A member that was declared with a path is dialled so for `/ws` and `/websocket`; else the client's path goes
on, as it always does for Socket.IO, which has one path only. Socket.IO keeps its session on one instance, so
its links are never carried over to another one, whatever STUDIO_RESUME says.
"""

from __future__ import annotations

import json
from dataclasses import replace

from experience import settings
from proxy.api import (
    BreakerLimits,
    ClientPath,
    Close,
    Forward,
    MessageLimits,
    OverRate,
    PolicyName,
    Probe,
    Resume,
    Route,
    Upstream,
)

POOL = Upstream.of(
    "studio",
    *settings.STUDIO_WS_URLS,
    policy=PolicyName(settings.STUDIO_POLICY),
    probe=Probe.of(
        settings.STUDIO_PROBE,
        path=settings.STUDIO_PROBE_PATH,
        seconds=settings.STUDIO_PROBE_SECONDS,
        default_path="/ws",
    ),
    breaker=BreakerLimits(),
    max_connections=settings.STUDIO_MEMBER_MAX_CONNECTIONS,
    editable=True,
)
MESSAGE_LIMITS = MessageLimits(
    messages_per_user=settings.MESSAGE_RATE_PER_USER,
    messages_per_connection=settings.MESSAGE_RATE_PER_CONNECTION,
    bytes_per_user=settings.BYTE_RATE_PER_USER,
    bytes_per_connection=settings.BYTE_RATE_PER_CONNECTION,
    over=OverRate(settings.MESSAGE_RATE_POLICY),
)
# No packet of a Socket.IO session may be left out: one pong or attachment that is missing ends it.
SOCKETIO_LIMITS = (
    MESSAGE_LIMITS if MESSAGE_LIMITS.over is OverRate.CLOSE else replace(MESSAGE_LIMITS, over=OverRate.WAIT)
)


def socketio_message(text: str, *, namespace: str = "") -> str:
    """The JSON `text` as a Socket.IO event `message` of the `namespace`, as in `/admin,`; "" is the main one.

    Anything that is no packet of Engine.IO's protocol (revision 4) makes its clients drop the connection.
    """
    return f'42{namespace}["message",{text}]'


def socketio_farewell(close: Close) -> tuple[str, ...]:
    """How a Socket.IO server ends a session for good; after a bare close its clients come back in a second.

    That it was the server's wish is said by a DISCONNECT of each namespace, the main one last, since clients
    that are on another come back to it else; what is of one that they are not on, they pass over. Then by
    Engine.IO's close, without which Python's clients still come back if they are busy when the close frame
    arrives. From the first on no client shows the close frame's code, so that an event says it before.
    """
    said = {"type": "gateway.closed", "code": close.code, "reason": close.reason}
    text = json.dumps(said, separators=(",", ":"))
    namespaces = (*(f"{name}," for name in settings.STUDIO_SOCKETIO_NAMESPACES), "")
    events = (socketio_message(text, namespace=name) for name in namespaces)
    return *events, *(f"41{name}" for name in namespaces), "1"


STUDIO = Route(
    name="studio",
    paths=("ws", "websocket"),
    upstream=POOL,
    connection_limits=settings.STUDIO_LIMITS,
    bounds=settings.STUDIO_BOUNDS,
    forward=Forward(any_query=True, identity=True, path=ClientPath.FILLS),
    resume=Resume(settings.STUDIO_RESUME),
    message_limits=MESSAGE_LIMITS,
)
STUDIO_SOCKETIO = Route(
    name="studio-socketio",
    paths=("socket.io/",),
    upstream=POOL,
    connection_limits=settings.STUDIO_LIMITS,
    bounds=settings.STUDIO_BOUNDS,
    forward=Forward(any_query=True, identity=True, path=ClientPath.REPLACES),
    message_limits=SOCKETIO_LIMITS,
    phrase=socketio_message,
    farewell=socketio_farewell,
)
