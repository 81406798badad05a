"""A leg that a route has made for one link: what it does wrong is its own, and ends that link alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from proxy import metrics
from proxy.core import closes
from proxy.core.answers import wrong
from proxy.core.closes import Close, ClosedBy
from proxy.core.errors import LegClosed
from proxy.core.hook_failures import HookFailed, calling_hook
from proxy.core.legs import ClientSide, Leg, PushingLeg, RefreshedLeg, payload_bytes
from proxy.core.limits import LinkLimits
from proxy.core.policies import LinkLog
from proxy.core.principal import Principal
from proxy.core.routes import LegPerLink, Subject
from proxy.socket.hooks import ask

# What a leg has, whatever else it says of itself; who asks for that names it when it fails.
_METHODS = ("receive", "send", "close", "abort")


async def open_own_leg(upstream: LegPerLink, subject: Subject, limits: LinkLimits) -> OwnLease:
    """Have the route make its leg for this link. Raises GatewayError, and HookFailed."""
    began = time.perf_counter()
    leg: Any = await ask(upstream.open, subject, name="open", within_seconds=limits.dial_timeout_seconds)
    with calling_hook("open"):
        _check(leg)
    metrics.child(metrics.DIAL_SECONDS, upstream.name).observe(time.perf_counter() - began)
    return OwnLease(OwnLeg(leg, subject.log, max_message_bytes=limits.max_message_bytes), upstream.name)


def _check(leg: Any) -> None:
    if not all(callable(getattr(type(leg), name, None)) for name in _METHODS):  # a class has none
        raise wrong(leg, "open answers a Leg")
    for name in ("receive", "send"):
        if getattr(type(leg), name) is getattr(Leg, name):
            raise TypeError(f"{type(leg).__name__} has no {name} of its own")


@contextmanager
def _calling_leg(hook: str) -> Iterator[None]:
    """Around a call of a leg of the route's own: it may raise LegClosed, too, as long as that says how."""
    with calling_hook(hook, LegClosed):
        try:
            yield
        except LegClosed as ended:  # a kind of the product's, maybe, that was never told its close
            raise LegClosed(ended.close, by=ended.by) from None


class OwnLeg(PushingLeg):
    """A leg that the route has made. What it raises at its end is logged: the link has more to give back."""

    __slots__ = ("_leg", "_log", "_max_message_bytes")

    def __init__(self, leg: Leg, log: LinkLog, *, max_message_bytes: int) -> None:
        self._leg, self._log, self._max_message_bytes = leg, log, max_message_bytes

    async def receive(self) -> str | bytes:
        with _calling_leg("receive"):
            message: object = await self._leg.receive()
            if not isinstance(message, str | bytes):
                raise wrong(message, "receive answers a str or bytes")
            if payload_bytes(message) > self._max_message_bytes:
                raise LegClosed(closes.too_big(ClosedBy.UPSTREAM), by=ClosedBy.GATEWAY)
            return message

    async def send(self, message: str | bytes) -> None:
        with _calling_leg("send"):
            await self._leg.send(message)

    @property
    def subprotocol(self) -> str | None:
        return self._leg.subprotocol

    @property
    def unsent_bytes(self) -> int:
        try:
            return int(self._leg.unsent_bytes)
        except BaseException as error:  # noqa: BLE001  the route's own code
            self._failed("unsent_bytes", error)
            return 0

    @property
    def only_pushes(self) -> bool:
        """Whether there is nothing to receive of it."""
        return self._pushing is not None and type(self._leg).receive is PushingLeg.receive

    @property
    def _pushing(self) -> PushingLeg | None:
        """The leg, if it pushes. Its class is asked: isinstance of a protocol would call its properties."""
        pushes = callable(getattr(type(self._leg), "joined", None))
        return cast(PushingLeg, self._leg) if pushes else None

    def joined(self, client: ClientSide) -> None:
        with _calling_leg("joined"):
            if (pushing := self._pushing) is not None:
                pushing.joined(client)

    def refreshed(self, principal: Principal) -> None:
        if not isinstance(self._leg, RefreshedLeg):
            return
        try:
            self._leg.refreshed(principal)
        except BaseException as error:  # noqa: BLE001  the route's own code
            self._failed("refreshed", error)

    async def close(self, close: Close) -> None:
        with calling_hook("close", LegClosed):
            await self._leg.close(close)

    def abort(self) -> None:
        try:
            self._leg.abort()
        except BaseException as error:  # noqa: BLE001  the route's own code
            self._failed("abort", error)

    def _failed(self, hook: str, error: BaseException) -> None:
        failed = HookFailed.because(hook, error)
        self._log.error("a route's hook failed", extra={"hook": hook}, exc_info=failed)


@dataclass(frozen=True, slots=True)
class OwnLease:
    """The use of a leg of the route's own: nothing is to be given back but the leg itself."""

    leg: Leg
    member: str

    def release(self, *, lost: bool = False) -> None:
        """The leg has been closed or aborted."""
