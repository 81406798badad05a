"""docker-compose.yml without containers: its commands, environment and health checks, on real servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.sync.client import connect

from config.testing.plugin import Spawn
from config.testing.program import BASE_DIR, INHERITED, Program, free_port
from config.testing.servers import NginxServer, ValkeyServer
from config.tests.test_nginx import conf_for

COMPOSE = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
OPERATORS = {
    "SECRET_KEY": "compose-" + "s" * 56,
    "JWT_SIGNING_KEY": "compose-" + "j" * 56,
    "POSTGRES_PASSWORD": "p",
    "ALLOWED_HOSTS": "gateway.example.org",
    "HTTPS_ONLY": "true",
}


def interpolated(value: str, variables: Mapping[str, str]) -> str:
    """compose's `${NAME:?why}` and `${NAME:-default}`."""

    def substitute(match: re.Match[str]) -> str:
        name, operator, word = match.groups()
        return variables[name] if operator == ":?" else variables.get(name) or word

    return re.sub(r"\$\{(\w+)(:\?|:-)([^}]*)\}", substitute, value)


def environment(**moved: str) -> dict[str, str]:
    """The gateways' environment as compose makes it, with addresses of this test in place of its own."""
    given: dict[str, str] = COMPOSE["x-gateway"]["environment"]
    return {name: interpolated(value, OPERATORS) for name, value in given.items()} | moved


def command(words: list[str]) -> list[str]:
    return [sys.executable if word == "python" else word for word in words]


def image_json(instruction: str) -> list[str]:
    """The last `CMD [...]` of the Dockerfile, or that of its HEALTHCHECK."""
    found = re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


def healthy(env: Mapping[str, str]) -> bool:
    """Run the image's HEALTHCHECK."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    checked = subprocess.run(
        command(image_json("  CMD")), env={**inherited, **env}, timeout=10, check=False, capture_output=True
    )
    return checked.returncode == 0


@pytest.fixture
def stack(spawn: Spawn, valkey: ValkeyServer, database_url: str) -> dict[int, tuple[Program, dict[str, str]]]:
    """Two gateways by port, the KB service and the migrated database behind them."""
    kb_port = free_port()
    env = environment(
        DATABASE_URL=database_url,
        REDIS_URL=valkey.url,
        KB_SERVICE_URL=f"http://127.0.0.1:{kb_port}",
        DRAIN_SECONDS="0",
        TRUSTED_PROXIES="127.0.0.1",
    )
    services: dict[str, dict[str, Any]] = COMPOSE["services"]
    migrated = spawn(command(services["migrate"]["command"]), name="migrate", env=env)
    assert migrated.wait_for_exit(within_seconds=30) == 0, migrated.output
    kb_command = [str(kb_port) if word == "8001" else word for word in services["kb"]["command"]]
    spawn(command(kb_command), name="kb", env=env).wait_for_port(kb_port)
    gateways = {}
    for name in ("gateway-1", "gateway-2"):
        port = free_port()
        of_its_own = {**env, "GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
        gateways[port] = (
            spawn(command(image_json("CMD")), name=name, env=of_its_own, ready="listening on"),
            of_its_own,
        )
    return gateways


def test_clients_play_through_nginx_on_either_gateway_and_survive_the_end_of_one(
    stack: dict[int, tuple[Program, dict[str, str]]],
    spawn: Spawn,
    nginx: Callable[[str], NginxServer],
    tmp_path: Path,
) -> None:
    (first, env), _ = stack.values()
    issued = spawn([sys.executable, "manage.py", "issue_token", "ada"], name="token", env=env)
    assert issued.wait_for_exit() == 0
    front = nginx(conf_for(list(stack), tmp_path / "access.log"))
    url = f"ws://127.0.0.1:{front.port}/ws/experience?token={issued.output.strip()}&experience=wylding-woods"

    with contextlib.ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(connect(url, proxy=None))
            assert json.loads(client.recv(5))["type"] == "connected"
    first.stop(within_seconds=20)
    for _ in range(3):
        with connect(url, proxy=None) as client:
            assert json.loads(client.recv(5))["type"] == "connected"


def test_the_images_health_check_follows_the_gateways_life(
    stack: dict[int, tuple[Program, dict[str, str]]],
) -> None:
    gateway, env = next(iter(stack.values()))
    assert healthy(env)

    gateway.stop(within_seconds=20)

    assert not healthy(env)


def test_the_kb_services_health_check_asks_the_port_that_its_command_opens() -> None:
    kb = COMPOSE["services"]["kb"]
    port = kb["command"][kb["command"].index("--port") + 1]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = str(listener.getsockname()[1])
        check = [word.replace(port, there) for word in kb["healthcheck"]["test"][1:]]
        assert check != kb["healthcheck"]["test"][1:]
        assert subprocess.run(command(check), timeout=10, check=False).returncode == 0
    assert subprocess.run(command(check), timeout=10, check=False, capture_output=True).returncode != 0


def test_the_nginx_health_check_reaches_a_gateway(
    stack: dict[int, tuple[Program, dict[str, str]]], nginx: Callable[[str], NginxServer], tmp_path: Path
) -> None:
    front = nginx(conf_for(list(stack), tmp_path / "access.log"))

    assert httpx.get(f"{front.url}/health").status_code == 200
