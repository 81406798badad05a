"""docs/tokens.md: each way's token is taken by a running gateway and by the service's check."""

from __future__ import annotations

import asyncio
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.gateway import Gateway
from config.tests.conftest import MakeGateway

DOCUMENT = documents.read("tokens.md")
EXAMPLES = {example.kind: example.text for example in examples(DOCUMENT) if example.kind}


def environment(way: str) -> dict[str, str]:
    """The settings of that way, as a gateway's environment."""
    pairs = dict(line.split("=", 1) for line in EXAMPLES[f"gateway {way}"].splitlines())
    return {"JWT_SIGNING_KEY": "", **pairs}


def run(kind: str, names: dict[str, Any]) -> dict[str, Any]:
    """The names that an example defines, after `names`."""
    exec(compile(EXAMPLES[kind], "tokens.md", "exec"), names)
    return names


async def let_in(gateway: Gateway, token: str) -> None:
    async def greet(upstream: ServerConnection) -> None:
        await upstream.send("hello")
        await upstream.wait_closed()

    async with gateway.serving(greet), asyncio.timeout(20):
        await gateway.wait_until_ready(tokens=True)
        async with gateway.connect(gateway.url(token=token)) as client:
            assert await client.recv() == "hello"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the document's commands have made a key pair; the examples run there."""
    subprocess.run(["sh", "-ec", EXAMPLES["keys"]], cwd=tmp_path, check=True, timeout=30, capture_output=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_a_shared_secret(make_gateway: MakeGateway) -> None:
    names = run("issue pyjwt", {})
    await let_in(make_gateway(**environment("pyjwt")), names["token"])
    assert run("check pyjwt", names)["claims"]["sub"] == "42"


# simplejwt makes its keys from the settings once a process: so a Django of its own, as a login service is.
SIMPLEJWT = """
{settings}
import django
from django.conf import settings

apps = ["django.contrib.auth", "django.contrib.contenttypes"]
settings.configure(SECRET_KEY="x" * 50, INSTALLED_APPS=apps, SIMPLE_JWT=SIMPLE_JWT)
django.setup()

from django.contrib.auth.models import User

user = User(pk=42, username="ada")
{issue}
{check}
print(token, claims["user_id"])
"""


@pytest.fixture
def simplejwt() -> list[str]:
    """The token that it issues, and the user id that it reads from it."""
    parts = {part: EXAMPLES[f"{part} simplejwt"] for part in ("settings", "issue", "check")}
    program = [sys.executable, "-c", SIMPLEJWT.format(**parts)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


async def test_simplejwt(make_gateway: MakeGateway, simplejwt: list[str]) -> None:
    token, checked = simplejwt
    await let_in(make_gateway(**environment("simplejwt")), token)
    assert checked == "42"


async def test_a_key_pair(make_gateway: MakeGateway, keys: Path) -> None:
    names, env = run("issue keypair", {}), environment("keypair")
    env["JWT_VERIFYING_KEY_FILE"] = str(keys / env["JWT_VERIFYING_KEY_FILE"])
    await let_in(make_gateway(**env), names["token"])
    assert run("check keypair", names)["claims"]["sub"] == "42"


async def test_keys_by_url(make_gateway: MakeGateway, keys: Path) -> None:
    names, env = run("issue jwks", {}), environment("jwks")
    with answering(names["jwks"].encode()) as url:
        await let_in(make_gateway(**env | {"JWT_JWKS_URL": url}), names["token"])
        checked = await asyncio.to_thread(run, "check jwks", names | {"url": url})
    assert checked["claims"]["sub"] == "42"


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """The URL of an HTTP server that answers `body`."""

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_every_setting_of_the_guide_exists() -> None:
    known = documents.read("settings.md")
    for setting, *_ in table(DOCUMENT, "the gateway", "PyJWT", "simplejwt"):
        name = setting.partition(" ")[0].rstrip(",")
        assert f"`{name}`" in known
