"""docs/routes.md: its example, put into a copy of the project, serves clients."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.front import replaced
from config.testing.gateway import SIGNING_KEY, issue
from config.testing.plugin import Spawn
from config.testing.program import free_port
from config.testing.servers import ValkeyServer
from config.testing.starts import BASE_DIR
from proxy.core.routes import Route

DOCUMENT = documents.read("routes.md")
EXAMPLES = {example.kind: example.text for example in examples(DOCUMENT) if example.kind}


def copy_with_the_route(directory: Path) -> Path:
    """A copy of the project, changed as the document says."""
    for name in ("config", "experience", "proxy", "templates"):
        shutil.copytree(BASE_DIR / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(BASE_DIR / "manage.py", directory)
    settings, routes = directory / "config/settings.py", directory / "experience/routes.py"
    after = 'STUDIO_WS_URLS = env.service_urls("STUDIO_WS_URLS")\n'
    settings.write_text(replaced(settings.read_text(), after, f"{after}{EXAMPLES['config/settings.py']}\n"))
    text = replaced(
        routes.read_text(), "ROUTES = (EXPERIENCE, STUDIO, STUDIO_SOCKETIO)", EXAMPLES["experience/routes.py"]
    )
    first = "from experience.probing import"
    routes.write_text(replaced(text, first, f"from experience.chat import CHAT\n{first}"))
    (directory / "experience/chat.py").write_text(EXAMPLES["experience/chat.py"])
    return directory


async def tell_who(upstream: ServerConnection) -> None:
    assert upstream.request is not None
    await upstream.send(f"{upstream.request.path} {upstream.request.headers['X-User-Id']}")
    await upstream.wait_closed()


async def test_the_documents_route_serves_and_its_room_hears_what_is_published(
    tmp_path: Path, spawn: Spawn, valkey: ValkeyServer
) -> None:
    project, port = copy_with_the_route(tmp_path / "project"), free_port()
    manage = [sys.executable, "manage.py"]
    async with asyncio.timeout(60), serve(tell_who, "127.0.0.1", 0) as service:
        env = {
            "SECRET_KEY": "a secret key that is used in tests only, and nowhere else",
            "JWT_SIGNING_KEY": SIGNING_KEY,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'gateway.sqlite3'}",
            "REDIS_URL": valkey.url,
            "CHAT_URLS": f"ws://127.0.0.1:{service.sockets[0].getsockname()[1]}",
        }
        migrate = spawn([*manage, "migrate", "-v0"], name="migrate", env=env, cwd=project)
        assert await asyncio.to_thread(migrate.wait_for_exit, within_seconds=30) == 0
        served = spawn([*manage, "serve", "--port", str(port)], name="serve", env=env, cwd=project)
        await asyncio.to_thread(served.wait_for_port, port)
        url = f"ws://127.0.0.1:{port}/ws/chat/lobby?token={issue('ada')}"
        async with connect(url, proxy=None) as client:
            assert await client.recv() == "/ws/chat/lobby?user_id=ada ada"
            event = '{"type":"chat.closing"}'
            publish = [*manage, "publish", "room:lobby", event]
            published = spawn(publish, name="publish", env=env, cwd=project)
            assert await asyncio.to_thread(published.wait_for_exit) == 0
            assert json.loads(await client.recv()) == json.loads(event)


def test_every_field_of_a_route_is_named() -> None:
    rows = table(DOCUMENT, "field", "says")
    named = [name for names, _ in rows for name in names.split(", ")]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(Route))
