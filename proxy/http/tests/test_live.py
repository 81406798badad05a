"""A page hears of nodes as long as its session may: until it is logged out, blocked, or may no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from proxy.http import live
from proxy.http.event_answers import HELLO
from proxy.node import GatewayNode
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.staff import may_see_connections

pytestmark = pytest.mark.django_db(transaction=True)


def log_in() -> str:
    """The session of one of staff that may see connections."""
    ada = User.objects.create(username="ada", password="a hash", is_staff=True)
    ada.user_permissions.add(Permission.objects.get(codename="view_connection"))
    session = SessionStore()
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.create()
    return str(session.session_key)


ENDS: dict[str, Callable[[], object]] = {
    "logged out": lambda: Session.objects.all().delete(),
    "no staff": lambda: User.objects.update(is_staff=False),
    "not active": lambda: User.objects.update(is_active=False),
    "no permission": lambda: User.user_permissions.through.objects.all().delete(),
    "another password": lambda: User.objects.update(password="another hash"),
    "gone": lambda: User.objects.all().delete(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_session_may_until_something_ends_it(
    executor: DatabaseExecutor, end: Callable[[], object]
) -> None:
    session_key = await executor.run(log_in)
    assert await executor.run(may_see_connections, session_key)
    for other in ("", "f" * 32):
        assert not await executor.run(may_see_connections, other)
    await executor.run(lambda: end() and None)
    assert not await executor.run(may_see_connections, session_key)


@pytest.fixture
async def node() -> AsyncIterator[GatewayNode]:
    """One that was never started: nothing is told."""
    node = GatewayNode()
    yield node
    await node.stop()


async def test_a_stream_ends_soon_after_its_session_and_says_so(
    node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.02)
    session_key = await node.database.run(log_in)
    told = live._events(node, session_key, None)
    async with asyncio.timeout(20):
        assert (await anext(told)).startswith(b"retry: ")
        for _ in range(10):  # looked at more than once meanwhile
            assert await anext(told) == b": nothing new\n\n"
        await node.database.run(ENDS["logged out"])
        rest = [event async for event in told]
    assert rest[-1] == b'event: end\ndata: {"why":"logged_out"}\n\n'
    assert not node.figures.live._listeners


async def test_a_stream_ends_with_its_process(node: GatewayNode) -> None:
    session_key = await node.database.run(log_in)
    told = live._events(node, session_key, None)
    await anext(told)
    waiting = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0)
    node.figures.live.end()
    async with asyncio.timeout(5):
        await waiting
        assert [event async for event in told] == []
        assert [event async for event in live._events(node, session_key, None)] == [HELLO]
