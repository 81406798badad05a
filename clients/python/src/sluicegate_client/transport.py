"""What both shells tell httpx: who asks, where, and for how long."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from typing import Any

import httpx

from sluicegate_client.calls import Call
from sluicegate_client.dialogue import NoAnswer, Send
from sluicegate_client.errors import BadRequest
from sluicegate_client.version import VERSION

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what is counted below is what is kept
    "User-Agent": f"sluicegate-client/{VERSION}",
}
# A gateway takes 50 requests at once from one address, for all programs there; more wait their turn here.
LIMITS = httpx.Limits(max_connections=16)
MAX_ANSWER_BYTES = 16 << 20
_KEY = re.compile(r"\s*[!-~]+\s*")  # what a header takes, and what a file may have around it
_SHORTEST_WAIT_SECONDS = 0.001
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class ApiKey(httpx.Auth):
    """Puts the key into a request, and shows it nowhere else: no repr, no attribute holds its text."""

    def __init__(self, key: str) -> None:
        self._is_key = _KEY.fullmatch(key) is not None
        self._header = _kept(f"Api-Key {key.strip()}")

    def check(self) -> None:
        """Raises BadRequest: it is none that a header could carry."""
        if not self._is_key:
            raise BadRequest("That is no API key: `manage.py issue_api_key` prints one.")

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header()
        yield request


def _kept(text: str) -> Callable[[], str]:
    return lambda: text


class TimeLeft(dict[str, float]):
    """The timeouts of one try, all up to one moment; httpx's own grant each step the whole time anew.

    httpcore asks for one before each: a place in the pool, a connection, the writes, the answer. The try
    begins once there is a place, since it is other calls of this program that hold those.
    """

    def __init__(self, step: Send) -> None:
        self._step = step
        self._until: float | None = None
        super().__init__(dict.fromkeys(("pool", "connect", "write", "read"), step.try_seconds))

    def get(self, key: str, default: Any = None) -> Any:
        until = self._step.deadline if key == "pool" else self.until()
        return max(_SHORTEST_WAIT_SECONDS, until - time.monotonic())

    def until(self) -> float:
        """When the try is over, by the monotonic clock."""
        if self._until is None:
            self._until = min(self._step.deadline, time.monotonic() + self._step.try_seconds)
        return self._until


class Cut(Exception):
    """An answer was given up: it is too long, or comes too slowly."""


class Received:
    """The body of an answer, as it comes in. Both its size and its time have a bound."""

    def __init__(self, time_left: TimeLeft) -> None:
        self._time_left, self._body, self._is_late = time_left, bytearray(), False

    def take(self, chunk: bytes) -> None:
        """Raises Cut. What is late and has come all the same is taken, but nothing after it."""
        if self._is_late:
            raise Cut("it came too slowly")
        self._body += chunk
        if len(self._body) > MAX_ANSWER_BYTES:
            raise Cut(f"it has more than {MAX_ANSWER_BYTES} bytes")
        self._is_late = time.monotonic() > self._time_left.until()

    def body(self) -> bytes:
        return bytes(self._body)


def base_url(url: str) -> httpx.URL:
    """Raises BadRequest: it is no address of a gateway."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if (
        parsed.scheme not in {"http", "https"}
        or not parsed.host
        or parsed.userinfo
        or parsed.query
        or parsed.fragment
    ):
        raise BadRequest("The gateway's address is a URL such as https://gateway.example.com, and no more.")
    return parsed


def request(http: httpx.Client | httpx.AsyncClient, call: Call[Any], time_left: TimeLeft) -> httpx.Request:
    headers = {} if call.body is None else {"Content-Type": "application/json"}
    return http.build_request(
        call.method,
        call.path,
        params=dict(call.query),
        content=call.body,
        headers=headers,
        extensions={"timeout": time_left},
    )


def no_answer(error: httpx.TransportError | Cut) -> NoAnswer:
    why = f"{type(error).__name__}: {error}"[:200].rstrip(": ")
    return NoAnswer(why, was_sent=not isinstance(error, _NOT_SENT))
