"""One answer for many of staff: made once, for who may see the same, as long as their sessions last."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.asgi import get_asgi_application
from django.db import connection
from django.test.utils import CaptureQueriesContext

from proxy.http import shared_answers
from proxy.http.shared_answers import MAKING_SECONDS, MOST_KEPT, MOST_SECONDS, Shared, SharedAnswers
from proxy.http.tests.test_live import ENDS, log_in
from proxy.node import GatewayNode
from proxy.tables import staff
from proxy.tables.executor import DatabaseExecutor
from proxy.tables.staff import PERMISSIONS_SECONDS, SEEN_BY, SESSION_SECONDS, Permitted
from proxy.tests.rows import add_refusal

pytestmark = pytest.mark.django_db(transaction=True)
PATH, MARKS = "/admin/proxy/live/", "/admin/proxy/live/marks/"
Answer = tuple[int, dict[bytes, bytes], bytes]


class Behind:
    """What stands behind: each answer is another, and takes as long as `wait` does."""

    def __init__(self) -> None:
        self.made, self.status = 0, 200
        self.seen_by: tuple[bool, ...] | None = (True, False, False, False)
        self.headers = [(b"Vary", b"Cookie"), (b"X-Request-Id", b"r1")]
        self.wait: Callable[[], Any] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.made += 1
        body = b"made %d" % self.made
        if self.wait is not None:
            await self.wait()
        if self.seen_by is not None:
            scope[SEEN_BY] = self.seen_by
        if not self.status:
            return
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": body[:4], "more_body": True})
        await send({"type": "http.response.body", "body": body[4:]})


class Nothing(Exception):
    """The client had left, and was answered nothing."""


class House:
    """Answers in front of what stands `behind`, and a clock that stands."""

    def __init__(self, behind: Any = None) -> None:
        self.now, self.behind, self.request_id = 100.0, Behind(), "r1"
        paths = {PATH: Shared(header=b"x-asked-again"), MARKS: Shared(least_seconds=5.0)}
        self.answers = SharedAnswers(behind or self.behind, paths, clock=lambda: self.now)

    async def ask(
        self,
        session: str,
        *,
        path: str = PATH,
        query: bytes = b"",
        method: str = "GET",
        scheme: str = "https",
        **headers: str,
    ) -> Answer:
        named = {"cookie": f"sessionid={session}", "host": "localhost", "x_asked_again": "1", **headers}
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items() if value]
        scope = {
            "type": "http",
            "method": method,
            "scheme": scheme,
            "path": path,
            "query_string": query,
            "headers": pairs,
            "request_id": self.request_id,
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        bodies = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            return bodies.pop() if bodies else await asyncio.Event().wait()

        await self.answers(scope, receive, send)
        if not sent:
            raise Nothing
        return (
            sent[0]["status"],
            dict(sent[0]["headers"]),
            b"".join(each.get("body", b"") for each in sent[1:]),
        )


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
    assert (told, house.behind.made) == ([b"r1", b"r2"], 1)


async def test_it_is_told_what_has_not_changed(house: House, ada: str) -> None:
    status, headers, _ = await house.ask(ada)
    assert status == 200
    status, told, body = await house.ask(ada, if_none_match=headers[b"etag"].decode())
    assert (status, body, told[b"etag"]) == (304, b"", headers[b"etag"])
    house.now += 1
    status, told, body = await house.ask(ada, if_none_match=headers[b"etag"].decode())
    assert (status, body) == (200, b"made 2")
    assert told[b"etag"] != headers[b"etag"]


async def test_it_is_packed_for_who_takes_that(house: House, ada: str) -> None:
    takes = {"br, gzip;q=0.8": True, "br": False, "": False, "gzip;q=0": False, "gzip; q=0.000, br": False}
    for encodings, is_packed in takes.items():
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
    assert (await house.ask(ada, scheme="http"))[2] == b"made 4"
    assert (await house.ask(ada, path=MARKS))[2] == b"made 5"
    for made, other in enumerate(
        ({"method": "POST"}, {"x_asked_again": ""}, {"origin": "https://x"}, {"query": b"a" * 200}), start=6
    ):
        for again in range(2):
            assert (await house.ask(ada, **other))[2] == b"made %d" % (2 * made - 6 + again)  # type: ignore[arg-type]
    assert (await house.ask(ada))[2] == b"made 1"


async def test_an_answer_is_for_those_who_may_see_what_it_was_made_by(node: GatewayNode) -> None:
    """As Django has it then: that may be another than a moment before, and than what is known here."""
    house = House(get_asgi_application())

    def given(name: str, *permissions: str) -> None:
        User.objects.get(username=name).user_permissions.set(
            Permission.objects.filter(codename__in=permissions)
        )

    def everybody() -> tuple[str, str]:
        add_refusal("r", user_id="who was refused")
        first = log_in()
        User.objects.update(username="bob")
        return first, log_in()

    async def seen(session: str) -> bool:
        status, _, body = await house.ask(session)
        assert status == 200, body
        return b"who was refused" in body

    bob, ada = await node.database.run(everybody)
    assert not await seen(ada)
    await node.database.run(lambda: given("ada", "view_connection", "view_refusal"))
    house.now += MOST_SECONDS
    assert await seen(ada)
    assert not await seen(bob)
    await node.database.run(lambda: given("bob", "view_connection", "view_refusal"))
    house.now += MOST_SECONDS
    assert await seen(bob)
    await node.database.run(lambda: given("ada", "view_connection"))
    house.now += MOST_SECONDS + MAKING_SECONDS
    assert not await seen(ada)
    assert await seen(bob)


async def test_what_does_not_say_by_what_it_was_made_is_kept_for_nobody(house: House, ada: str) -> None:
    house.behind.seen_by = None
    assert [(await house.ask(ada))[2] for _ in range(2)] == [b"made 1", b"made 2"]


async def test_it_has_the_headers_that_django_gave_it(house: House, ada: str) -> None:
    house.behind.headers.append((b"Content-Security-Policy", b"default-src 'self'"))
    for made in range(2):
        _, headers, _ = await house.ask(ada)
        assert headers[b"content-security-policy"] == b"default-src 'self'", made


async def test_what_is_very_long_is_kept_for_nobody(
    house: House, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "MOST_BYTES", 5)
    assert [(await house.ask(ada))[2] for _ in range(2)] == [b"made 1", b"made 2"]


async def test_who_asks_while_the_database_is_away_gets_what_django_says(
    house: House, ada: str, node: GatewayNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(node.database, "run", away)
    assert [(await house.ask(ada))[2] for _ in range(2)] == [b"made 1", b"made 2"]


@pytest.mark.parametrize("session", ["", "f" * 32, '"\x01'])
@pytest.mark.usefixtures("node")
async def test_who_is_not_logged_in_gets_what_django_says(house: House, session: str) -> None:
    assert [(await house.ask(session))[2] for _ in range(2)] == [b"made 1", b"made 2"]


@pytest.mark.parametrize(("status", "header"), [(503, b"Vary"), (302, b"Vary"), (200, b"Set-Cookie")])
async def test_what_is_no_answer_for_all_is_kept_for_nobody(
    house: House, ada: str, status: int, header: bytes
) -> None:
    house.behind.status, house.behind.headers = status, [(header, b"x")]
    for made in (1, 2):
        assert (await house.ask(ada))[::2] == (status, b"made %d" % made)


async def test_while_one_makes_it_anew_the_others_get_what_there_was_but_not_for_long(
    house: House, ada: str
) -> None:
    await house.ask(ada)
    house.now += 1
    goes_on = asyncio.Event()
    house.behind.wait = goes_on.wait
    first = asyncio.create_task(house.ask(ada))
    async with asyncio.timeout(20):
        while house.behind.made < 2:
            await asyncio.sleep(0)
        assert (await house.ask(ada))[2] == b"made 1"
        house.now += MAKING_SECONDS
        second = asyncio.create_task(house.ask(ada))
        while house.behind.made < 3:
            await asyncio.sleep(0)
        goes_on.set()
        assert {(await each)[2] for each in (first, second)} == {b"made 2", b"made 3"}


@pytest.mark.parametrize("first_status", [200, 503, 0], ids=["answered", "failed", "left"])
async def test_who_asks_together_waits_for_one_answer(
    house: House, ada: str, first_status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that fails, or whose client leaves, the next is asked, and again the others wait."""
    monkeypatch.setattr(shared_answers, "MAKING_SECONDS", 600)
    await house.answers._permissions({"headers": [(b"cookie", f"sessionid={ada}".encode())]})
    goes_on = asyncio.Event()

    async def wait() -> None:
        is_first = house.behind.made == 1
        await goes_on.wait()
        house.behind.status = first_status if is_first else 200

    house.behind.wait = wait
    async with asyncio.timeout(20):
        asked = [asyncio.create_task(house.ask(ada)) for _ in range(30)]
        while not house.behind.made:
            await asyncio.sleep(0)
        goes_on.set()
        await asyncio.wait(asked)
    first, *others = asked
    answers = [each.result() for each in others]
    made = 1 if first_status == 200 else 2
    assert {answer[2] for answer in answers} == {b"made %d" % made}
    assert house.behind.made == made
    assert isinstance(first.exception(), Nothing) if not first_status else first.result()[0] == first_status


async def test_nobody_waits_for_long_for_who_makes_it(
    house: House, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_answers, "MAKING_SECONDS", 0.05)
    goes_on = asyncio.Event()
    house.behind.wait = goes_on.wait
    async with asyncio.timeout(20):
        slow = asyncio.create_task(house.ask(ada))
        while not house.behind.made:
            await asyncio.sleep(0)
        other = asyncio.create_task(house.ask(ada))
        house.now += 0.05
        while house.behind.made < 2:
            await asyncio.sleep(0)
        goes_on.set()
        assert {(await each)[2] for each in (slow, other)} == {b"made 1", b"made 2"}
    assert not house.answers._making


async def test_what_took_long_is_kept_for_longer_up_to_a_bound(house: House, ada: str) -> None:
    async def work() -> None:
        house.now += took_seconds

    house.behind.wait = work
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
    for now in range(1, 60):  # noqa: B007  `permitted` reads it
        if permitted.known(session) is None and await executor.run(permitted.asked, session) is None:
            break
    assert now == (SESSION_SECONDS if is_logout else PERMISSIONS_SECONDS)
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


async def test_of_sessions_so_many_are_known(
    executor: DatabaseExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staff, "_MOST_KNOWN", 2)
    permitted = Permitted()

    def three() -> list[str]:
        sessions = []
        for _ in range(3):
            sessions.append(log_in())
            User.objects.filter(username="ada").update(username=f"user{len(sessions)}")
        return sessions

    sessions = await executor.run(three)
    for session in sessions:
        assert await executor.run(permitted.asked, session)
    assert [permitted.known(each) is not None for each in sessions] == [False, False, True]
