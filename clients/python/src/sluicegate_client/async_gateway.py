"""A gateway, for asyncio."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
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


class AsyncGateway:
    """`Gateway` for asyncio: the same calls, awaited, and the same errors. Tasks of one loop may share it."""

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
        self._http = httpx.AsyncClient(
            base_url=self._url,
            auth=auth,
            headers=HEADERS,
            limits=LIMITS,
            verify=verify,
            follow_redirects=False,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._url)!r})"

    async def __aenter__(self) -> AsyncGateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections. Calls after that fail."""
        await self._http.aclose()

    async def publish(
        self, topic: str, event: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Delivered:
        """As `Gateway.publish`."""
        return await self._run(carry_out(calls.publish(topic, event, idempotency_key), self._patience))

    async def publish_many(self, publications: Iterable[Publication]) -> list[Delivered]:
        """As `Gateway.publish_many`."""
        return await self._run(carry_out_all(calls.publish_many(publications), self._patience))

    async def kick(
        self,
        *,
        user_ids: Iterable[str] = (),
        connection_ids: Iterable[str] = (),
        everyone: bool = False,
        reason: str = "",
    ) -> Kicked:
        """As `Gateway.kick`."""
        call = calls.kick(user_ids=user_ids, connection_ids=connection_ids, everyone=everyone, reason=reason)
        return await self._run(carry_out(call, self._patience))

    async def connections(
        self,
        *,
        user: str | None = None,
        route: str | None = None,
        topic: str | None = None,
        node: str | None = None,
        state: calls.State = "live",
        page_size: int = 100,
    ) -> AsyncIterator[Connection]:
        """As `Gateway.connections`, with `async for`."""
        filters = {"user": user, "route": route, "topic": topic, "node": node, "state": state}
        cursor: str | None = None
        while True:
            call = calls.connections(filters, page_size=page_size, cursor=cursor)
            page = await self._run(carry_out(call, self._patience))
            for connection in page.connections:
                yield connection
            if (cursor := page.cursor) is None:
                return

    async def presence(self, topic: str, *, limit: int = 1000) -> Presence:
        """As `Gateway.presence`."""
        return await self._run(carry_out(calls.presence(topic, limit=limit), self._patience))

    async def _run(self, dialogue: Dialogue[T]) -> T:
        try:
            step = next(dialogue)
            while True:
                if isinstance(step, Send):
                    step = dialogue.send(await self._send(step))
                else:
                    await asyncio.sleep(step.seconds)
                    step = next(dialogue)
        except StopIteration as ended:
            value: T = ended.value
            return value

    async def _send(self, step: Send) -> Reply:
        time_left = TimeLeft(step)
        received = Received(time_left)
        try:
            response = await self._http.send(request(self._http, step.call, time_left), stream=True)
            try:
                async for chunk in response.aiter_raw():
                    received.take(chunk)
            finally:
                await response.aclose()
        except (httpx.TransportError, Cut) as error:
            return no_answer(error)
        return Answer(response.status_code, response.headers, received.body())
