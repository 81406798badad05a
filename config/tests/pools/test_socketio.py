"""Socket.IO through the gateway: a real server, real clients, the websocket transport."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import socketio

from config.testing.gateway import Gateway, issue
from config.testing.plugin import Spawn
from config.testing.program import BASE_DIR, free_port

# Where `npm install socket.io-client` was run; kept out of the repository.
CLIENT_DIR = Path(os.environ.get("SOCKETIO_CLIENT_DIR", BASE_DIR / "var" / "socketio-client"))
SCRIPT = BASE_DIR / "clients" / "socketio" / "talk.cjs"


@pytest.fixture
def node(tmp_path: Path, spawn: Spawn) -> Gateway:
    port = free_port()
    server = spawn(
        [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port),
         "config.tests.pools.socketio_server:application"],
        name="socketio",
    )  # fmt: skip
    server.wait_for_port(port)
    env = {"STUDIO_WS_URLS": f"ws://127.0.0.1:{port}", "STUDIO_PROBE": "none"}
    gateway = Gateway("serve", tmp_path, env)
    gateway.migrate()
    return gateway


def talk(url: str) -> tuple[object, object, object]:
    with socketio.SimpleClient() as client:
        client.connect(url, transports=["websocket"])
        welcome = client.receive(timeout=10)
        answer = client.call("add", [1, 2, 3], timeout=10)
        return welcome, answer, client.receive(timeout=10)


async def test_a_python_client_exchanges_events(node: Gateway) -> None:
    node.start()
    try:
        url = f"http://127.0.0.1:{node.port}?token={issue('7')}"
        welcome, answer, event = await asyncio.wait_for(asyncio.to_thread(talk, url), 30)
        assert node.stop() == 0
    finally:
        node.close()
    assert welcome == ["welcome", {"user_id": "7"}]
    assert answer == 6
    assert event == ["added", {"sum": 6}]


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (CLIENT_DIR / "node_modules" / "socket.io-client").exists(),
    reason="run `npm install --prefix var/socketio-client socket.io-client@4` to try npm's client",
)
def test_the_client_from_npm_exchanges_events(node: Gateway) -> None:
    node.start()
    try:
        ran = subprocess.run(
            ["node", str(SCRIPT), f"http://127.0.0.1:{node.port}", issue("7")],
            env={"PATH": os.environ["PATH"], "NODE_PATH": str(CLIENT_DIR / "node_modules")},
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
    finally:
        node.close()
    heard = [json.loads(line) for line in ran.stdout.splitlines()]
    assert heard == [["welcome", {"user_id": "7"}], ["answer", 6], ["added", {"sum": 6}]]
