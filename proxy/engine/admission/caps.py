"""Caps and rates of connections: on this node always, over all nodes while Redis is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from proxy.core.addresses import address_key
from proxy.core.buckets import Buckets
from proxy.core.errors import TooMany
from proxy.core.limits import ConnectionLimits
from proxy.engine.admission.places import Places
from proxy.engine.admission.shared_caps import Place, RunScript, Seat, SharedCaps, StoreAway

# A cap frees up when somebody leaves; nobody knows when.
CAP_RETRY_SECONDS = 5.0


class LeaseBook:
    """Link ids by key, in order of their start. A key with no links is not kept: as big as the live links."""

    def __init__(self) -> None:
        self._links: dict[str, dict[str, None]] = {}

    def add(self, key: str, link_id: str) -> None:
        self._links.setdefault(key, {})[link_id] = None

    def remove(self, key: str, link_id: str) -> None:
        links = self._links.get(key)
        if links is not None:
            links.pop(link_id, None)
            if not links:
                del self._links[key]

    def count(self, key: str) -> int:
        return len(self._links.get(key, ()))

    def oldest(self, key: str) -> str | None:
        return next(iter(self._links.get(key, ())), None)


class Admission:
    """Grants seats to links. Memory: one entry a live link, and a bounded map of recent addresses.

    `replace(node_id, link_id)` is called to end the oldest link of a user, wherever it is, when the policy
    is to replace it (`replace_oldest`); it has a deadline of its own and raises nothing. That is when a
    newer one is let in, and not before: a handshake that is refused costs nobody a link. Without
    `run_script` (no Redis) everything counts on this node alone.
    """

    def __init__(
        self,
        *,
        node_id: str,
        replace: Callable[[str, str], Coroutine[Any, Any, None]],
        replace_oldest: bool = False,
        run_script: RunScript | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node_id, self._clock = node_id, clock
        self._replace, self._replace_oldest = replace, replace_oldest
        self._rates: dict[str, Buckets] = {}  # by the name of the limits
        self._addresses, self._users = LeaseBook(), LeaseBook()
        self._seats: dict[str, Seat] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self.shared: SharedCaps | None = None
        if run_script is not None:
            self.shared = SharedCaps(
                run_script,
                node_id=node_id,
                live=self._held,
                replaced=self._end_replaced,
            )
        self.places = Places(self.shared)

    def live(self) -> list[Seat]:
        """All seats of this node."""
        return list(self._seats.values())

    def _held(self) -> list[Seat | Place]:
        return [*self._seats.values(), *self.places.live()]

    def check_rate(self, limits: ConnectionLimits, address: str) -> None:
        """Count one handshake of `address` on this node, whatever becomes of it. Raises TooMany."""
        if not address:
            return
        rates = self._rates.get(limits.name)
        if rates is None:
            rates = self._rates[limits.name] = Buckets(limits.connect_rate)
        wait_seconds = rates.take(address_key(address), self._clock())
        if wait_seconds > 0:
            raise _too_many(limits, "rate_per_ip", wait_seconds)

    def check_address(self, limits: ConnectionLimits, address: str) -> None:
        """Raise TooMany if this node alone has as many links of `address` as all may have; asks nobody."""
        key = address_key(address)
        if key and self._addresses.count(_named(limits, key)) >= limits.per_address:
            raise _too_many(limits, "per_ip")

    async def admit(self, link_id: str, limits: ConnectionLimits, *, address: str, user_id: str) -> Seat:
        """A seat for a new link, to be told when that has `opened`; `release` it when it has ended, or never
        came to be. Raises TooMany."""
        counts = not self._replace_oldest
        seat = Seat(link_id, address_key(address), user_id, limits, counts_for_user=counts)
        shared = self.shared
        if shared is None or not shared.connected:
            self._take_here(seat)
            return seat
        try:
            _check(limits, await shared.admit(seat))
            self._hold(seat)  # not before: while it waits it holds nothing that others could lack
        except StoreAway:
            self._take_alone(seat, shared)
        return seat

    def opened(self, seat: Seat) -> None:
        """Its link is let in. Where the oldest of a user gives way, it does now; nobody waits for that."""
        if self._seats.get(seat.link_id) is not seat or not seat.user:
            return
        if seat.is_replaced:  # while it was dialled, by a node with another policy
            self._end_replaced(self._node_id, seat.link_id)
        if seat.counts_for_user:
            return
        seat.counts_for_user = True
        self._users.add(_named(seat.limits, seat.user), seat.link_id)
        if self.shared is None:
            self._replace_here(seat)
        else:
            self.shared.come(seat, alone=self._replace_here)

    def release(self, seat: Seat) -> None:
        """Give a seat back, with the link's places. Once; a second time changes nothing."""
        if self._seats.get(seat.link_id) is seat:
            self._forget(seat)
            self.places.release(seat.link_id)
            if self.shared is not None:
                self.shared.release(seat)

    def hold_places(self, link_id: str, capacities: Mapping[str, int]) -> None:
        """Count a link among those of its topics, unless it has ended; see `Places.hold`."""
        if link_id in self._seats:
            self.places.hold(link_id, capacities)

    def _take_alone(self, seat: Seat, shared: SharedCaps) -> None:
        """As `_take_here`, for a seat that the store may hold all the same."""
        try:
            self._take_here(seat)
        except TooMany:
            shared.release(seat)
            raise
        shared.keep([seat])  # where it has waited too long for Redis, and that is there

    def _take_here(self, seat: Seat) -> None:
        limits = seat.limits
        user = _named(limits, seat.user)
        self.check_address(limits, seat.address)
        if seat.counts_for_user and seat.user and self._users.count(user) >= limits.per_user:
            raise _too_many(limits, "per_user")
        self._hold(seat)

    def _replace_here(self, seat: Seat) -> None:
        """End the oldest links of that user on this node, as long as there are too many with the seat's."""
        user = _named(seat.limits, seat.user)
        for _ in range(self._users.count(user) - seat.limits.per_user):
            if (oldest := self._users.oldest(user)) is not None:
                self._end_replaced(self._node_id, oldest)

    def _end_replaced(self, node_id: str, link_id: str) -> None:
        """It is counted no more, so it has to end."""
        self.replaced(link_id)  # also if it is another node's: then it is none of these
        task = asyncio.create_task(self._replace(node_id, link_id), name="replace")
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    def replaced(self, link_id: str) -> None:
        """A newer link has the place of this one."""
        seat = self._seats.get(link_id)
        if seat is not None:
            seat.is_replaced = True
            self._users.remove(_named(seat.limits, seat.user), link_id)

    def _hold(self, seat: Seat) -> None:
        self._seats[seat.link_id] = seat
        if seat.address:
            self._addresses.add(_named(seat.limits, seat.address), seat.link_id)
        if seat.user and seat.counts_for_user:
            self._users.add(_named(seat.limits, seat.user), seat.link_id)

    def _forget(self, seat: Seat) -> None:
        self._seats.pop(seat.link_id, None)
        self._addresses.remove(_named(seat.limits, seat.address), seat.link_id)
        self._users.remove(_named(seat.limits, seat.user), seat.link_id)


def _named(limits: ConnectionLimits, key: str) -> str:
    """The key under which an address or a user is counted."""
    return f"{limits.name}:{key}"


def _check(limits: ConnectionLimits, answer: str) -> None:
    """Raises TooMany unless the store's answer grants the seat; see SharedCaps.admit."""
    word, _, rest = answer.partition(":")
    if word == "rate":
        raise _too_many(limits, "rate_per_ip", int(rest) / 1000)
    if word in _LABELS:
        raise _too_many(limits, _LABELS[word])


def _too_many(
    limits: ConnectionLimits, which: str, retry_after_seconds: float = CAP_RETRY_SECONDS
) -> TooMany:
    bounds = {"per_ip": limits.per_address, "per_user": limits.per_user, "rate_per_ip": limits.connect_rate}
    return TooMany(which, limit=bounds[which], retry_after_seconds=retry_after_seconds)


_LABELS = {"address": "per_ip", "user": "per_user"}
