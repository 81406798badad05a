"""A gateway, for code that is not async."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx

from sluicegate_client import calls
from sluicegate_client.answers import Connection, Delivered, Kicked, Presence, Publication
from sluicegate_client.dialogue import Answer, Dialogue, Patience, Reply, Send, carry_out, carry_out_all
from sluicegate_client.transport import (
    HEADERS,
    LIMITS,
    ApiKey,
    Cut,
    Received,
    TimeLeft,
    base_url,
    no_answer,
    request,
)

T = TypeVar("T")


class Gateway:
    """A gateway at `url`, spoken to with an API key. Threads may share it. Every call raises SluicegateError.

    A call takes `deadline_seconds` at most, with all that it repeats, and each try `try_seconds`. `verify` is
    as httpx has it: an `ssl.SSLContext` for a certificate authority of your own.
    """

    _url = httpx.URL()

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        deadline_seconds: float = 30.0,
        try_seconds: float = 10.0,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        auth = ApiKey(api_key)
        del api_key  # some tracebacks show variables
        auth.check()
        self._url = base_url(url)
        self._patience = Patience(deadline_seconds=deadline_seconds, try_seconds=try_seconds)
        self._http = httpx.Client(
            base_url=self._url,
            auth=auth,
            headers=HEADERS,
            limits=LIMITS,
            verify=verify,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._url)!r})"

    def __enter__(self) -> Gateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections. Calls after that fail."""
        self._http.close()

    def publish(
        self, topic: str, event: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Delivered:
        """Publish `event` to everyone who hears `topic`, once however often it is tried.

        A key of your own makes it safe to call this again as well, within five minutes.
        """
        return self._run(carry_out(calls.publish(topic, event, idempotency_key), self._patience))

    def publish_many(self, publications: Iterable[Publication]) -> list[Delivered]:
        """Publish them in order, up to 1,000 to a request.

        Of an error, `delivered` tells of the first ones, which went out. To publish the same objects again
        within five minutes publishes only what did not.
        """
        return self._run(carry_out_all(calls.publish_many(publications), self._patience))

    def kick(
        self,
        *,
        user_ids: Iterable[str] = (),
        connection_ids: Iterable[str] = (),
        everyone: bool = False,
        reason: str = "",
    ) -> Kicked:
        """End the links of users, single links, or all, with close code 4001 and `reason`.

        Repeated only where nothing can have been done: who has come back would be kicked a second time.
        """
        call = calls.kick(user_ids=user_ids, connection_ids=connection_ids, everyone=everyone, reason=reason)
        return self._run(carry_out(call, self._patience))

    def connections(
        self,
        *,
        user: str | None = None,
        route: str | None = None,
        topic: str | None = None,
        node: str | None = None,
        state: calls.State = "live",
        page_size: int = 100,
    ) -> Iterator[Connection]:
        """Who is connected, the newest first, or (`"closed"`) was, the last to close first: those that all
        filters fit. Pages are fetched as you go, each under a deadline of its own."""
        filters = {"user": user, "route": route, "topic": topic, "node": node, "state": state}
        cursor: str | None = None
        while True:
            call = calls.connections(filters, page_size=page_size, cursor=cursor)
            page = self._run(carry_out(call, self._patience))
            yield from page.connections
            if (cursor := page.cursor) is None:
                return

    def presence(self, topic: str, *, limit: int = 1000) -> Presence:
        """Who is on `topic` now, on any node, of whom `limit` are named, 10,000 at most."""
        return self._run(carry_out(calls.presence(topic, limit=limit), self._patience))

    def _run(self, dialogue: Dialogue[T]) -> T:
        try:
            step = next(dialogue)
            while True:
                if isinstance(step, Send):
                    step = dialogue.send(self._send(step))
                else:
                    time.sleep(step.seconds)
                    step = next(dialogue)
        except StopIteration as ended:
            value: T = ended.value
            return value

    def _send(self, step: Send) -> Reply:
        time_left = TimeLeft(step)
        received = Received(time_left)
        try:
            response = self._http.send(request(self._http, step.call, time_left), stream=True)
            try:
                for chunk in response.iter_raw():
                    received.take(chunk)
            finally:
                response.close()
        except (httpx.TransportError, Cut) as error:
            return no_answer(error)
        return Answer(response.status_code, response.headers, received.body())
