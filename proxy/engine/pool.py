"""The upstreams of a route, and dialling one of them."""

from __future__ import annotations

from typing import Generic

from proxy.core.errors import UpstreamTimeout, UpstreamUnavailable
from proxy.core.routes import Upstream
from proxy.engine.dial import Dial, DialFailed, Dialler, DialRequest, LegT


class Lease(Generic[LegT]):
    """A dialled leg, and the member that it leads to. `release()` gives the use of the member back."""

    __slots__ = ("_pool", "leg", "member")

    def __init__(self, pool: Pool, member: str, leg: LegT) -> None:
        self._pool, self.member, self.leg = pool, member, leg

    def release(self) -> None:
        self._pool.links[self.member] -= 1


class Pool:
    """Members in declared order, tried in turn until one can be dialled."""

    def __init__(self, upstream: Upstream) -> None:
        self.name = upstream.name
        self.members = upstream.members
        self._next = 0
        self.links = dict.fromkeys(upstream.members, 0)

    async def dial(self, dialler: Dialler, dial: Dial[LegT], request: DialRequest) -> Lease[LegT]:
        """Lease the next member that answers.

        Raises:
            UpstreamUnavailable: none could be reached.
            UpstreamTimeout: the last one tried did not answer.
            UpstreamRefused, NotFound: one answered, and said no.
        """
        failure: Exception | None = None
        for _ in self.members:
            member = self.members[self._next % len(self.members)]
            self._next += 1
            try:
                async with dialler.turn():
                    leg = await dial(member, request)
            except (DialFailed, UpstreamTimeout) as error:
                failure = error
                continue
            self.links[member] += 1
            return Lease(self, member, leg)
        if isinstance(failure, UpstreamTimeout):
            raise failure
        raise UpstreamUnavailable(self.name, why=str(failure or "it has no members"))
