"""The way to the KB: a pool of HTTP connections, and each action asked until it is answered in time."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from prometheus_client import Counter, Gauge, Histogram

from experience.actions.retries import Retries
from experience.kb.protocol import is_unicode
from proxy.api import child

logger = logging.getLogger(__name__)

ACTIONS_TOTAL = Counter(
    "experience_actions_total",
    "Actions sent to the KB by outcome: answered, refused, unavailable, overloaded, upstream_failed.",
    labelnames=("outcome",),
)
ACTION_SECONDS = Histogram(
    "experience_action_seconds",
    "From an action's turn on its link to its answer, those that were tried again included.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ACTIONS_WAITING = Gauge(
    "experience_actions_waiting",
    "Actions that the KB has not answered yet, or that wait for a connection.",
    multiprocess_mode="livesum",
)
ATTEMPTS_TOTAL = Counter(
    "experience_action_attempts_total", "Requests to the KB; beyond one an action, it was tried again."
)

_PATH = "/api/experience/actions"
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.05, 0.5
# Without an answer to anybody.
_AWAY_SECONDS = 0.5
# The KB itself closes after 20 s: a connection must not be taken from the pool as the other end drops it.
_IDLE_SECONDS = 10.0
_MAX_ANSWER_BYTES = 1 << 20
# A member of a service that restarts, or is too busy, may be followed by one that answers.
_TRY_AGAIN = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One message of a client, and whose. `id` is the same however often it is asked; `due` is loop time.

    `request_id` is the client's own, which the answer to nothing else may have; None: it has sent none.
    """

    id: str
    request_id: str | None = None
    body: str
    experience: str
    token: str = field(repr=False)
    due: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Bounds of one process. Durations are seconds.

    `attempt_seconds`: for one request of several; `most_waiting`: actions, those under way included.
    """

    connections: int = 100
    most_waiting: int = 2_000
    attempt_seconds: float = 2.5


class Unanswered(Exception):
    """There is no answer to an action. `code` and `message` are for the client, the rest for operators."""

    def __init__(self, code: str, message: str, *, outcome: str = "", why: str = "") -> None:
        super().__init__(f"{code}: {why or message}")
        self.code, self.message, self.outcome = code, message, outcome or code


class _TryAgainError(Exception):
    """This attempt came to nothing; another one may not. str() says why, to operators."""


class _OfAnotherError(_TryAgainError):
    """What was answered is somebody else's, who has an answer by now, or whom it came too late for."""


class ActionClient:
    """Asks the KB. Its pool is made on the loop that first asks, and is closed by `close`."""

    def __init__(self, base_url: str, limits: ClientLimits) -> None:
        self._url, self._limits = actions_url(base_url), limits
        self._session: aiohttp.ClientSession | None = None
        self._waiting = 0
        self._retries = Retries()
        self._is_away, self._is_unreachable = False, False
        self._unanswered_since: float | None = None  # the first request since anybody was answered

    async def ask(self, action: Action) -> str:
        """The KB's answer, as it is to go to the client.

        Raises:
            Unanswered: too many wait, the KB did not answer by `due`, or it refuses the action.
        """
        began = asyncio.get_running_loop().time()
        try:
            async with self._place():
                answer = await self._ask_until_due(action)
        except Unanswered as unanswered:
            child(ACTIONS_TOTAL, unanswered.outcome).inc()
            raise
        child(ACTIONS_TOTAL, "answered").inc()
        ACTION_SECONDS.observe(asyncio.get_running_loop().time() - began)
        return answer

    async def close(self) -> None:
        """Let go of the pool."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """A place among those that wait. Raises Unanswered where there is none."""
        if self._waiting >= self._limits.most_waiting:
            raise Unanswered("overloaded", "Too much is going on; try again.")
        self._waiting += 1
        ACTIONS_WAITING.set(self._waiting)
        try:
            yield
        finally:
            self._waiting -= 1
            ACTIONS_WAITING.set(self._waiting)

    async def _ask_until_due(self, action: Action) -> str:
        why, wait_seconds = "no answer in time", _FIRST_WAIT_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout_at(action.due):
                await asyncio.sleep(0)  # what is late already is not sent
                if self._is_unreachable:  # which no action is to blame for
                    await self._retries.turn()
                while True:
                    try:
                        return await self._attempt(action)
                    except _TryAgainError as error:
                        why = str(error)
                    await asyncio.sleep(wait_seconds * random.uniform(0.5, 1.0))  # noqa: S311  only apart
                    wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
                    await self._retries.turn()
        self._note_away(why)
        told = "The service does not answer. This may have been done, or be done yet: get_state tells."
        raise Unanswered("unavailable", told, why=why)

    async def _attempt(self, action: Action) -> str:
        """One request. Raises _TryAgainError where another may fare better, Unanswered where none will."""
        ATTEMPTS_TOTAL.inc()
        if self._unanswered_since is None:
            self._unanswered_since = asyncio.get_running_loop().time()
        try:
            async with self._pool().post(
                self._url,
                params={"experience": action.experience},
                data=action.body.encode(),
                headers={
                    "Authorization": f"Bearer {action.token}",
                    "Content-Type": "application/json",
                    "X-Request-Id": action.id,
                },
                allow_redirects=False,
            ) as response:
                self._is_unreachable = False
                body = await _body(response)
                if response.status not in _TRY_AGAIN:
                    self._note_answer()
                try:
                    return answer_in(response.status, body, request_id=action.request_id)
                except _OfAnotherError:
                    response.close()  # nobody knows what else comes over this connection
                    logger.warning("the KB has answered another action", extra={"action": action.id})
                    raise
        except (aiohttp.ClientError, TimeoutError) as error:
            self._is_unreachable = isinstance(error, aiohttp.ClientConnectorError)
            # Which names an address, and no URL.
            why = f": {error}" if self._is_unreachable else ""
            raise _TryAgainError(type(error).__name__ + why) from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            limits = self._limits
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=limits.connections, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Of what it takes once there is a connection: the wait for one is the action's own.
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=limits.attempt_seconds,
                    sock_read=limits.attempt_seconds,
                ),
            )
        return self._session

    def _note_answer(self) -> None:
        """The KB answers somebody, if only by refusing."""
        self._unanswered_since = None
        self._retries.answered()
        if self._is_away:
            self._is_away = False
            logger.info("the KB answers actions again")

    def _note_away(self, why: str) -> None:
        """Say so once, where nobody was answered; one action alone may be late for reasons of its own."""
        now = asyncio.get_running_loop().time()
        since = now if self._unanswered_since is None else self._unanswered_since
        if now - since >= _AWAY_SECONDS and not self._is_away:
            self._is_away = True
            logger.warning("the KB answers no actions", extra={"why": why})


def actions_url(base: str) -> str:
    """Where actions go, for the same setting that names the KB's sockets."""
    parts = urlsplit(base)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/").removesuffix("/ws/experience")
    return urlunsplit((scheme, parts.netloc, path + _PATH, "", ""))


def answer_in(status: int, body: str, *, request_id: str | None = None) -> str:
    """The message for the client that the KB's answer holds, to a message that had that request id.

    Raises:
        _TryAgainError: it may answer otherwise soon.
        _OfAnotherError: it answers a message of another request id.
        Unanswered: it refuses, or has failed.
    """
    if status in _TRY_AGAIN:
        raise _TryAgainError(f"status {status}")
    fields = _object(body)
    if fields.get("request_id") not in (None, request_id):
        raise _OfAnotherError("an answer to another message")
    if status in {HTTPStatus.OK, HTTPStatus.BAD_REQUEST} and isinstance(fields.get("type"), str):
        return body
    code, message = fields.get("code"), fields.get("message")
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and _are_texts(code, message):
        raise Unanswered(str(code), str(message), outcome="refused")
    why = f"status {status}, {len(body)} characters"
    raise Unanswered("upstream_failed", "The service failed at this message.", why=why)


def _object(body: str) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _refuse(constant: str) -> None:
    """NaN and Infinity are no JSON, whatever Python's own writer says: no client could read them."""
    raise ValueError(constant)


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) and 0 < len(value) <= 1_000 and is_unicode(value) for value in values)


async def _body(response: aiohttp.ClientResponse) -> str:
    """What it says, as text; "" for what is none, or too long. Raises ClientError."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _MAX_ANSWER_BYTES:
            return ""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return ""
