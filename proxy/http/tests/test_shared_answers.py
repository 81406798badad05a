"""One answer for many of staff: made once, for who may see the same, as long as their sessions last."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from proxy.http import shared_answers
from proxy.http.shared_answers import MAKING_SECONDS, MOST_KEPT, MOST_SECONDS, Shared, SharedAnswers
from proxy.http.tests.test_live import ENDS, log_in
from proxy.node import GatewayNode
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.staff import PERMISSIONS_SECONDS, SESSION_SECONDS, Permitted

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/admin/proxy/live/"
Answer = tuple[int, dict[bytes, bytes], bytes]


class Django:
    """What stands behind: each answer is another, and takes as long as `wait` does."""

    def __init__(self) -> None:
        self.made, self.status = 0, 200
        self.headers = [(b"Vary", b"Cookie"), (b"X-Request-Id", b"r1")]
        self.wait: Callable[[], Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.made += 1
        body = b"made %d" % self.made
        if self.wait is not None:
            await self.wait()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": body[:4], "more_body": True})
        await send({"type": "http.response.body", "body": body[4:]})


class House:
    """Answers in front of `django`, and a clock that stands."""

    def __init__(self) -> None:
        self.now, self.django, self.request_id = 100.0, Django(), "r1"
        paths = {PATH: Shared(header=b"x-asked-again")}
        self.answers = SharedAnswers(self.django, paths, clock=lambda: self.now)

    async def ask(self, session: str, *, query: bytes = b"", method: str = "GET", **headers: str) -> Answer:
        named = {"cookie": f"sessionid={session}", "host": "here", "x_asked_again": "1", **headers}
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items() if value]
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https",
            "path": PATH,
            "request_id": self.request_id,
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await self.answers({**scope, "query_string": query, "headers": pairs}, None, send)  # type: ignore[arg-type]
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(each["body"] for each in sent[1:])


@pytest.fixture
async def node(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[GatewayNode]:
    node = GatewayNode()
    monkeypatch.setattr(shared_answers, "node_here", lambda: node)
    yield node
    await node.stop()


@pytest.fixture
async def ada(node: GatewayNode) -> str:
    return await node.database.run(log_in)


@pytest.fixture
def house() -> House:
    return House()


async def test_many_who_ask_the_same_get_one_answer_until_it_is_old(house: House, ada: str) -> None:
    assert [(await house.ask(ada))[2] for _ in range(5)] == [b"made 1"] * 5
    house.now += 0.99
    assert (await house.ask(ada))[2] == b"made 1"
    house.now += 0.01
    assert (await house.ask(ada))[2] == b"made 2"


async def test_each_answer_has_the_id_of_its_own_request(house: House, ada: str) -> None:
    told = []
    for house.request_id in ("r1", "r2"):
        told.append((await house.ask(ada))[1][b"x-request-id"])
    assert (told, house.django.made) == ([b"r1", b"r2"], 1)


async def test_it_is_told_what_has_not_changed(house: House, ada: str) -> None:
    status, headers, _ = await house.ask(ada)
    assert (status, headers[b"vary"]) == (200, b"Cookie")
    status, told, body = await house.ask(ada, if_none_match=headers[b"etag"].decode())
    assert (status, body, told[b"etag"]) == (304, b"", headers[b"etag"])
    house.now += 1
    status, told, body = await house.ask(ada, if_none_match=headers[b"etag"].decode())
    assert (status, body) == (200, b"made 2")
    assert told[b"etag"] != headers[b"etag"]


async def test_it_is_packed_for_who_takes_that(house: House, ada: str) -> None:
    for encodings, is_packed in (("br, gzip;q=0.8", True), ("br", False), ("", False)):
        _, headers, body = await house.ask(ada, accept_encoding=encodings)
        assert headers.get(b"content-encoding") == (b"gzip" if is_packed else None)
        assert headers[b"content-length"] == b"%d" % len(body)
        assert (gzip.decompress(body) if is_packed else body) == b"made 1"


async def test_another_question_has_another_answer_and_what_is_no_such_question_is_djangos(
    house: House, ada: str
) -> None:
    assert (await house.ask(ada))[2] == b"made 1"
    assert (await house.ask(ada, query=b"since=1&until=2"))[2] == b"made 2"
    assert (await house.ask(ada, host="there"))[2] == b"made 3"
    for made, other in enumerate(
        ({"method": "POST"}, {"x_asked_again": ""}, {"origin": "https://x"}, {"query": b"a" * 200}), start=4
    ):
        for again in range(2):
            assert (await house.ask(ada, **other))[2] == b"made %d" % (2 * made - 4 + again)  # type: ignore[arg-type]
    assert (await house.ask(ada))[2] == b"made 1"


async def test_who_may_see_more_gets_another(house: House, ada: str, node: GatewayNode) -> None:
    def bob() -> str:
        User.objects.update(username="bob")
        session = log_in()
        User.objects.get(username="ada").user_permissions.add(Permission.objects.get(codename="view_node"))
        return session

    other = await node.database.run(bob)
    assert [(await house.ask(each))[2] for each in (ada, other, ada, other)] == [b"made 1", b"made 2"] * 2


@pytest.mark.parametrize("session", ["", "f" * 32, '"\x01'])
@pytest.mark.usefixtures("node")
async def test_who_is_not_logged_in_gets_what_django_says(house: House, session: str) -> None:
    assert [(await house.ask(session))[2] for _ in range(2)] == [b"made 1", b"made 2"]


@pytest.mark.parametrize(("status", "header"), [(503, b"Vary"), (302, b"Vary"), (200, b"Set-Cookie")])
async def test_what_is_no_answer_for_all_is_kept_for_nobody(
    house: House, ada: str, status: int, header: bytes
) -> None:
    house.django.status, house.django.headers = status, [(header, b"x")]
    for made in (1, 2):
        assert (await house.ask(ada))[::2] == (status, b"made %d" % made)


async def test_while_one_makes_it_anew_the_others_get_what_there_was_but_not_for_long(
    house: House, ada: str
) -> None:
    await house.ask(ada)
    house.now += 1
    goes_on = asyncio.Event()
    house.django.wait = goes_on.wait
    first = asyncio.create_task(house.ask(ada))
    async with asyncio.timeout(20):
        while house.django.made < 2:
            await asyncio.sleep(0)
        assert (await house.ask(ada))[2] == b"made 1"
        house.now += MAKING_SECONDS
        second = asyncio.create_task(house.ask(ada))
        while house.django.made < 3:
            await asyncio.sleep(0)
        goes_on.set()
        assert {(await each)[2] for each in (first, second)} == {b"made 2", b"made 3"}


async def test_what_took_long_is_kept_for_longer_up_to_a_bound(house: House, ada: str) -> None:
    async def work() -> None:
        house.now += took_seconds

    house.django.wait = work
    for took_seconds, kept_seconds in ((0.05, 2.0), (10.0, MOST_SECONDS)):  # noqa: B007  `work` reads it
        before = (await house.ask(ada))[2]
        house.now += kept_seconds - 0.01
        assert (await house.ask(ada))[2] == before
        house.now += 0.02
        assert (await house.ask(ada))[2] != before
        house.now += 1000


async def test_what_is_kept_is_bounded(house: House, ada: str) -> None:
    for number in range(3 * MOST_KEPT):
        await house.ask(ada, query=b"since=%d" % number)
        assert len(house.answers._kept) <= MOST_KEPT


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_a_session_that_ends_sees_nothing_soon_after(
    executor: DatabaseExecutor, end: Callable[[], object]
) -> None:
    now = 0.0
    permitted = Permitted(clock=lambda: now)
    session = await executor.run(log_in)
    assert permitted.known(session) is None
    assert await executor.run(permitted.asked, session) == (True, False, False, False)
    assert permitted.known(session) == (True, False, False, False)
    await executor.run(lambda: end() and None)
    is_logout = end is ENDS["logged out"]
    now = SESSION_SECONDS if is_logout else PERMISSIONS_SECONDS
    assert permitted.known(session) is None
    assert await executor.run(permitted.asked, session) is None
    assert permitted.known(session) is None


async def test_a_session_that_lasts_takes_one_query(executor: DatabaseExecutor) -> None:
    now = 0.0
    permitted = Permitted(clock=lambda: now)
    session = await executor.run(log_in)

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            permitted.asked(session)
        return len(asked)

    await executor.run(queries)
    now = SESSION_SECONDS
    assert await executor.run(queries) == 1
