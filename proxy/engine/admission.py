"""Caps and rates of connections: on this node always, over all nodes while Redis is there."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from proxy.core.buckets import Buckets
from proxy.core.errors import TooMany
from proxy.core.leases import LeaseBook, address_key
from proxy.engine.shared_leases import Caps, Lease, RunScript, SharedLeases, StoreAway

# A cap frees up when somebody leaves; nobody knows when.
CAP_RETRY_SECONDS = 5.0


class Admission:
    """Grants leases to links. Memory: one entry a live link, and a bounded map of recent addresses.

    `replace(link_id)` is called to end the oldest link of a user, wherever it is, when the policy is to
    replace it. Without `run_script` (no Redis) everything counts on this node alone.
    """

    def __init__(
        self,
        caps: Caps,
        *,
        node_id: str,
        replace: Callable[[str], Awaitable[None]],
        run_script: RunScript | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caps, self._replace, self._clock = caps, replace, clock
        self._rates = Buckets(caps.connect_rate)
        self._addresses, self._users = LeaseBook(), LeaseBook()
        self._leases: dict[str, Lease] = {}
        self.shared: SharedLeases | None = None
        if run_script is not None:
            self.shared = SharedLeases(run_script, node_id=node_id, caps=caps, live=self.live)

    def live(self) -> list[Lease]:
        """All leases of this node."""
        return list(self._leases.values())

    def check_rate(self, address: str) -> None:
        """Count one handshake of `address` on this node, whatever becomes of it.

        Raises:
            TooMany: it makes too many.
        """
        if address:
            wait_seconds = self._rates.take(address_key(address), self._clock())
            if wait_seconds > 0:
                raise self._too_many("rate_per_ip", wait_seconds)

    async def admit(self, link_id: str, *, address: str, user_id: str) -> Lease:
        """A lease for a new link; `release` it when the link has ended, or never came to be.

        Raises:
            TooMany: a cap or a rate is reached, here or over all nodes.
        """
        lease = Lease(link_id, address_key(address), user_id)
        replaced = await self._take(lease)
        if replaced is not None:
            try:
                await self._replace(replaced)
            except BaseException:
                self.release(lease)
                raise
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease back. Once; a second time changes nothing."""
        if self._leases.get(lease.link_id) is lease:
            self._forget(lease)
            if self.shared is not None:
                self.shared.release(lease)

    async def _take(self, lease: Lease) -> str | None:
        """Hold the lease. Answers the link that it replaces, None if it is none."""
        shared = self.shared
        if shared is None or not shared.connected:
            return self._take_here(lease)
        self._hold(lease)  # before the wait, so that what is written again meanwhile includes it
        try:
            return self._granted(await shared.admit(lease))
        except StoreAway:
            self._forget(lease)
            return self._take_alone(lease, shared)
        except BaseException:
            self._forget(lease)
            raise

    def _take_alone(self, lease: Lease, shared: SharedLeases) -> str | None:
        """As `_take_here`, for a lease that the store may hold all the same."""
        try:
            return self._take_here(lease)
        except TooMany:
            shared.release(lease)
            raise

    def _take_here(self, lease: Lease) -> str | None:
        caps, replaced = self._caps, None
        if lease.address and self._addresses.count(lease.address) >= caps.per_address:
            raise self._too_many("per_ip")
        if lease.user and self._users.count(lease.user) >= caps.per_user:
            if not caps.replace_oldest:
                raise self._too_many("per_user")
            oldest = self._users.oldest(lease.user)
            assert oldest is not None  # noqa: S101  a cap is at least one
            self._users.remove(lease.user, oldest)
            replaced = oldest
        self._hold(lease)
        return replaced

    def _hold(self, lease: Lease) -> None:
        self._leases[lease.link_id] = lease
        if lease.address:
            self._addresses.add(lease.address, lease.link_id)
        if lease.user:
            self._users.add(lease.user, lease.link_id)

    def _forget(self, lease: Lease) -> None:
        self._leases.pop(lease.link_id, None)
        self._addresses.remove(lease.address, lease.link_id)
        self._users.remove(lease.user, lease.link_id)

    def _granted(self, answer: str) -> str | None:
        """What the store's answer means; see SharedLeases.admit. Raises TooMany."""
        word, _, rest = answer.partition(":")
        if word == "rate":
            raise self._too_many("rate_per_ip", int(rest) / 1000)
        if word in _LABELS:
            raise self._too_many(_LABELS[word])
        return rest or None

    def _too_many(self, which: str, retry_after_seconds: float = CAP_RETRY_SECONDS) -> TooMany:
        caps = self._caps
        limits = {"per_ip": caps.per_address, "per_user": caps.per_user, "rate_per_ip": caps.connect_rate}
        return TooMany(which, limit=limits[which], retry_after_seconds=retry_after_seconds)


_LABELS = {"address": "per_ip", "user": "per_user"}
