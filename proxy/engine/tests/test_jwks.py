"""How the keys of an issuer are fetched, kept and renewed, and what its endpoint may do meanwhile."""

import asyncio
import contextlib
import http.server
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from proxy.core.errors import KeysUnavailable
from proxy.core.limits import Rate
from proxy.engine.jwks import MAX_KEYS_ASKED, Jwks, JwksPace, UnknownKey, download
from proxy.tests.tokens import jwk, key_set

Answer = Callable[[http.server.BaseHTTPRequestHandler], object]
Serve = Callable[[Answer], str]


class Issuer:
    """A token issuer's key endpoint as a plain function: its answer can be changed, its calls are counted."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.answer: bytes | Exception = key_set(*entries)
        self.calls = 0
        self.called = threading.Condition()

    def __call__(self, url: str) -> bytes:
        with self.called:
            self.calls += 1
            self.called.notify_all()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def wait_for_calls(self, count: int) -> None:
        def wait() -> None:
            with self.called:
                assert self.called.wait_for(lambda: self.calls >= count, timeout=5)

        await asyncio.to_thread(wait)


@contextlib.asynccontextmanager
async def running(jwks: Jwks) -> AsyncIterator[Jwks]:
    task = asyncio.create_task(jwks.run(), name="test:jwks")
    try:
        yield jwks
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def quick(issuer: Callable[[str], bytes], **options: Any) -> Jwks:
    pace = JwksPace(**{"refresh_seconds": 60, "pause_seconds": 0.05, "retry_seconds": 0.01, **options})
    return Jwks("http://issuer.test/keys", algorithm="ES256", pace=pace, fetch=issuer)


# --- Keeping them -----
async def test_keys_are_fetched_in_the_background_at_once() -> None:
    jwks = quick(Issuer(jwk("ES256", "a")))
    with pytest.raises(KeysUnavailable):
        jwks.key("a")
    assert jwks.is_ready is False
    async with running(jwks):
        await until(lambda: jwks.is_ready)
        assert jwks.key("a")
        assert jwks.last_error == ""


async def test_a_slow_issuer_does_not_hold_up_the_loop() -> None:
    release = threading.Event()

    def fetch(_: str) -> bytes:
        release.wait(5)
        return key_set(jwk("ES256", "a"))

    jwks = quick(fetch)
    async with running(jwks):
        async with asyncio.timeout(1):
            for _ in range(100):
                await asyncio.sleep(0)
        release.set()
        await until(lambda: jwks.is_ready)


async def test_a_token_without_key_id_uses_the_only_key_there_is() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer)) as jwks:
        await until(lambda: jwks.is_ready)
        assert jwks.key(None) is jwks.key("a")


async def test_a_token_without_key_id_is_refused_when_there_are_several() -> None:
    async with running(quick(Issuer(jwk("ES256", "a"), jwk("ES256", "b", serial=1)))) as jwks:
        await until(lambda: jwks.is_ready)
        with pytest.raises(UnknownKey):
            jwks.key(None)


async def test_a_token_of_a_new_key_is_never_refused_for_good_and_brings_the_key_within_moments() -> None:
    """Also right after a fetch, which may have come a moment before the issuer's rotation."""
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer)) as jwks:
        await until(lambda: jwks.is_ready)
        issuer.answer = key_set(jwk("ES256", "a"), jwk("ES256", "b", serial=1))
        with pytest.raises(KeysUnavailable) as refused:
            jwks.key("b")
        assert (refused.value.retry_after_seconds or 0) >= 2
        await until(lambda: _has(jwks, "b"))


async def test_a_key_that_the_issuer_does_not_have_is_unknown_once_it_was_asked() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer)) as jwks:
        await until(lambda: jwks.is_ready)
        with pytest.raises(KeysUnavailable):
            jwks.key("invented")
        await issuer.wait_for_calls(2)
        await until(lambda: _is_unknown(jwks, "invented"))
        for _ in range(100):
            with pytest.raises(UnknownKey):
                jwks.key("invented")
        with pytest.raises(KeysUnavailable):
            jwks.key("another")


def _has(jwks: Jwks, kid: str) -> bool:
    with contextlib.suppress(KeysUnavailable, UnknownKey):
        return bool(jwks.key(kid))
    return False


def _is_unknown(jwks: Jwks, kid: str) -> bool:
    with contextlib.suppress(KeysUnavailable):
        try:
            jwks.key(kid)
        except UnknownKey:
            return True
    return False


async def test_tokens_of_several_keys_that_are_gone_do_not_make_each_other_unknown_again() -> None:
    """Each was looked for in vain, and no fetch for another one brings it: nobody need ask again."""
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, demands=Rate(100, 1))) as jwks:
        await until(lambda: jwks.is_ready)
        for retired in ("x", "y"):
            await until(lambda kid=retired: _is_unknown(jwks, kid))  # type: ignore[misc]
        await until(lambda: not jwks._asked)  # asked once more while the last fetch was under way, perhaps
        for number in range(24):
            with pytest.raises(UnknownKey):
                jwks.key("xy"[number % 2])
        assert not jwks._asked, "and so causes no fetch"


async def test_what_is_unknown_is_bounded_and_the_newest_of_it_is_kept() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, demands=Rate(100, 1))) as jwks:
        await until(lambda: jwks.is_ready)
        await until(lambda: _is_unknown(jwks, "old"))
        for number in range(MAX_KEYS_ASKED):
            with contextlib.suppress(KeysUnavailable):
                jwks.key(f"invented-{number}")
        await until(lambda: _is_unknown(jwks, "invented-0"))
        assert len(jwks._unknown) <= MAX_KEYS_ASKED
        assert _is_unknown(jwks, f"invented-{MAX_KEYS_ASKED - 1}")


async def test_who_is_told_to_come_back_is_told_when_the_issuer_can_be_asked_again() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, demands=Rate(1, 3600))) as jwks:
        await until(lambda: jwks.is_ready)
        await until(lambda: _is_unknown(jwks, "x"))
        with pytest.raises(KeysUnavailable) as refused:
            jwks.key("y")
        assert (refused.value.retry_after_seconds or 0) == pytest.approx(3600, abs=60)


async def test_a_key_that_comes_late_is_found_though_it_was_unknown_before() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, unknown_seconds=0.1)) as jwks:
        await until(lambda: jwks.is_ready)
        await until(lambda: _is_unknown(jwks, "b"))
        issuer.answer = key_set(jwk("ES256", "a"), jwk("ES256", "b", serial=1))
        await until(lambda: _has(jwks, "b"))


@pytest.mark.parametrize("names", [lambda number: "invented", lambda number: f"invented-{number}"])
async def test_invented_key_ids_cannot_make_it_flood_the_issuer(names: Callable[[int], str]) -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, pause_seconds=0.01, demands=Rate(3, 3600))) as jwks:
        await until(lambda: jwks.is_ready)
        for number in range(5000):
            with pytest.raises((UnknownKey, KeysUnavailable)):
                jwks.key(names(number))
            if number % 10 == 0:
                await asyncio.sleep(0.001)
        assert issuer.calls <= 1 + 3
        assert len(jwks._asked) <= MAX_KEYS_ASKED
        assert jwks.key("a")


async def test_an_endless_key_id_is_not_even_asked_for() -> None:
    async with running(quick(Issuer(jwk("ES256", "a")))) as jwks:
        await until(lambda: jwks.is_ready)
        with pytest.raises(UnknownKey):
            jwks.key("x" * 257)


async def test_a_fetch_that_hangs_is_given_up_and_not_begun_twice() -> None:
    release, begun = threading.Event(), []

    def fetch(_: str) -> bytes:
        begun.append(threading.current_thread())
        release.wait(10)
        return key_set(jwk("ES256", "a"))

    async with running(quick(fetch, fetch_seconds=0.05)) as jwks:
        await until(lambda: jwks.last_error == "the last fetch has not ended yet")
        assert len(begun) == 1
        assert begun[0].daemon
        release.set()
        await until(lambda: jwks.is_ready)


async def test_a_fault_in_the_fetch_is_reported_and_tried_again() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    good, issuer.answer = issuer.answer, ZeroDivisionError()
    async with running(quick(issuer)) as jwks:
        await until(lambda: jwks.last_error == "unexpected ZeroDivisionError")
        issuer.answer = good
        await until(lambda: jwks.is_ready)


async def test_a_broken_entry_is_logged_once_and_the_others_verify(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Issuer(None, jwk("ES256", "a"))  # type: ignore[arg-type]
    async with running(quick(issuer, refresh_seconds=0.01, pause_seconds=0.001)) as jwks:
        await issuer.wait_for_calls(4)
        assert jwks.key("a") is not None
    assert [getattr(record, "why", "") for record in caplog.records if record.levelname == "WARNING"] == [
        "entry 0: no object"
    ]


async def test_keys_are_refreshed_periodically() -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, refresh_seconds=0.06)):
        await issuer.wait_for_calls(3)


@pytest.mark.parametrize("failure", [OSError("no route"), b"<html>", key_set(), key_set(jwk("RS256", "z"))])
async def test_the_issuer_being_away_leaves_the_keys_at_hand_and_is_reported(
    failure: Any, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(jwk("ES256", "a"))
    async with running(quick(issuer, refresh_seconds=0.06)) as jwks:
        await until(lambda: jwks.is_ready)
        good, issuer.answer = issuer.answer, failure
        await until(lambda: bool(jwks.last_error))
        assert jwks.key("a")
        assert jwks.is_ready
        assert "key set not fetched" in caplog.text
        issuer.answer = good
        await until(lambda: not jwks.last_error)


# --- Over HTTP -----
@pytest.fixture
def endpoint() -> Iterator[Serve]:
    """A real HTTP server: `endpoint(handle)` serves with `handle(request)` and answers its URL."""
    servers = []

    def serve(answer: Answer) -> str:
        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):
                    answer(self)

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/keys"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def respond(body: bytes, status: int = 200) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        request.wfile.write(body)

    return answer


async def test_a_key_set_is_fetched_over_http(endpoint: Serve) -> None:
    jwks = Jwks(endpoint(respond(key_set(jwk("ES256", "a")))), algorithm="ES256")
    async with running(jwks):
        await until(lambda: jwks.is_ready)
        assert jwks.key("a")


def test_an_error_status_is_an_error(endpoint: Serve) -> None:
    with pytest.raises(OSError, match="500"):
        download(endpoint(respond(b"{}", status=500)))


def test_an_endless_answer_is_cut_off(endpoint: Serve) -> None:
    with pytest.raises(ValueError, match="longer than 1000 bytes"):
        download(endpoint(respond(b"x" * 100_000)), max_bytes=1000)


def test_an_answer_that_drips_ends_by_a_deadline(endpoint: Serve) -> None:
    done = threading.Event()

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not done.wait(0.02):
            request.wfile.write(b"x")

    with pytest.raises(TimeoutError):
        download(endpoint(drip), timeout_seconds=0.2)
    done.set()


def test_an_issuer_that_never_answers_ends_by_a_deadline(endpoint: Serve) -> None:
    done = threading.Event()
    with pytest.raises(OSError, match="timed out"):
        download(endpoint(lambda _: done.wait(5)), timeout_seconds=0.1)
    done.set()
