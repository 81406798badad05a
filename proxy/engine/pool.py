"""The upstreams of a route: choosing an available member, dialling it, and the next one if it fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic

from proxy.core.balancing import policy
from proxy.core.errors import GatewayError, NotFound, UpstreamRefused, UpstreamTimeout, UpstreamUnavailable
from proxy.core.routes import MemberSpec, Upstream
from proxy.engine.dial import Dial, DialFailed, Dialler, DialRequest, LegT, Target
from proxy.engine.members import Member, MemberState, Use


class Lease(Generic[LegT]):
    """A dialled leg, and the member that it leads to. `release()` gives the use of the member back, once."""

    __slots__ = ("_use", "leg")

    def __init__(self, use: Use, leg: LegT) -> None:
        self._use, self.leg = use, leg

    @property
    def member(self) -> str:
        """The member's URL."""
        return self._use.member.url

    def release(self, *, lost: bool = False) -> None:
        """The link has ended; `lost`: without a close from the member."""
        self._use.released(lost=lost)


class PoolObserver:
    """What is told of each dial of a member; tells nobody by itself."""

    def dialled(self, member: str, seconds: float) -> None:
        """The member, by its URL, answered after so long."""

    def dial_failed(self, member: str, error: Exception) -> None:
        """It did not, or not as it should: DialFailed, UpstreamTimeout or UpstreamRefused."""


class Pool:
    """The members of one upstream on this node. One that is taken out stays until its last link ends."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        dial_seconds: float = 5.0,
        max_concurrent_dials: int = 100,
        observer: PoolObserver = PoolObserver(),  # noqa: B008  it keeps nothing
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.upstream = upstream.name, upstream
        self._dial_seconds, self._clock, self._random = dial_seconds, clock, random
        self._policy, self._observer = policy(upstream.policy), observer
        # A pool's own: one that is black-holed must not hold up the dials of the others.
        self._dialler = Dialler(max_concurrent=max_concurrent_dials, queue_seconds=dial_seconds)
        self._members: dict[str, Member] = {}
        self.changed = asyncio.Event()
        self.apply(upstream.declared())

    @property
    def members(self) -> tuple[str, ...]:
        """The URLs of all members that were not taken out."""
        return tuple(url for url, member in self._members.items() if not member.removed)

    def all_members(self) -> tuple[Member, ...]:
        """Those that were taken out but still have links, too."""
        for url, member in list(self._members.items()):
            if member.removed and member.links == 0:
                del self._members[url]
        return tuple(self._members.values())

    @property
    def available(self) -> int:
        """How many members would get a new link now."""
        return sum(member.state is MemberState.AVAILABLE for member in self._members.values())

    def apply(self, specs: Iterable[MemberSpec]) -> list[Member]:
        """Make `specs` the members. Live links stay; what is known of members that stay is kept.

        Answers those that drain now and did not before, for whoever moves their links.
        """
        draining = {url for url, member in self._members.items() if member.draining}
        wanted = {spec.url: spec for spec in specs}
        for url, member in list(self._members.items()):
            if url not in wanted:
                member.removed = True
                if member.links == 0:
                    del self._members[url]
        for url, spec in wanted.items():
            member = self._members.get(url) or self._new(spec)
            member.spec, member.removed = spec, False
        self.changed.set()
        return [member for url, member in self._members.items() if member.draining and url not in draining]

    def _new(self, spec: MemberSpec) -> Member:
        member = Member(spec, self.upstream, clock=self._clock, random=self._random)
        self._members[spec.url] = member
        return member

    async def dial(self, dial: Dial[LegT], request: DialRequest, *, key: str = "") -> Lease[LegT]:
        """Lease the member that the policy chooses; if it fails, another, within the dial deadline.

        `key` says whose dial it is: affinity sticks to it, and one alone cannot make a member look bad.

        Raises:
            UpstreamUnavailable: none is available, or none could be reached.
            UpstreamTimeout, UpstreamRefused: what the last one tried did.
            NotFound, ServiceRefused: one answered so; others would, too.
            Overloaded: too many dials wait.
        """
        deadline = self._clock() + self._dial_seconds
        tried: set[str] = set()
        failure: Exception | None = None
        while self._clock() < deadline or not tried:
            if not self._candidates(tried, key):
                break
            async with self._dialler.turn():
                candidates = self._candidates(tried, key)  # who was well before the wait may not be now
                if not candidates:
                    break
                member = self._policy.choose(candidates, key=key)
                tried.add(member.url)
                left = deadline - self._clock()
                seconds = left if len(candidates) == 1 else left / 2  # leave time for the next one
                try:
                    return await self._dial_member(member, dial, request, key=key, seconds=seconds)
                except (DialFailed, UpstreamTimeout, UpstreamRefused) as error:
                    if is_final(error):
                        raise
                    failure = error
        raise self._failure(failure)

    def _candidates(self, tried: set[str], key: str) -> Sequence[Member]:
        """Whom to choose from; where probes say that nobody is well, those whom they say it of.

        A probe that asks for the wrong thing, or comes too late, must not refuse everybody.
        """
        untried = [member for url, member in self._members.items() if url not in tried and member.allows(key)]
        available = [member for member in untried if member.state is MemberState.AVAILABLE]
        if available or tried or any(each.healthy and not each.draining for each in self._members.values()):
            return available
        return [member for member in untried if member.state is MemberState.UNHEALTHY and not member.full]

    async def _dial_member(
        self, member: Member, dial: Dial[LegT], request: DialRequest, *, key: str, seconds: float
    ) -> Lease[LegT]:
        target = Target(request.target(member.url), member.addresses, seconds=seconds)
        use = member.use(by=key)
        try:
            leg = await _within(seconds, dial(target, request))
        except Exception as error:
            if isinstance(error, DialFailed | UpstreamTimeout | UpstreamRefused):
                self._observer.dial_failed(member.url, error)
            if is_final(error):
                use.given_up()
            else:
                use.failed(str(error) or type(error).__name__, is_request=target.is_connected)
            raise
        except BaseException:  # cancelled: the client left
            use.given_up()
            raise
        self._observer.dialled(member.url, use.dialled())
        return Lease(use, leg)

    def _failure(self, failure: Exception | None) -> GatewayError:
        if isinstance(failure, GatewayError):
            return failure
        states = Counter(member.state.value for member in self._members.values())
        why = ", ".join(f"{count} {state}" for state, count in states.items()) or "it has no members"
        waits = [member.wait_seconds for member in self._members.values() if not member.draining]
        return UpstreamUnavailable(self.name, why=str(failure or why), wait_seconds=min(waits, default=0.0))


async def _within(seconds: float, dialling: Awaitable[LegT]) -> LegT:
    try:
        async with asyncio.timeout(seconds):
            return await dialling
    except TimeoutError:
        raise UpstreamTimeout("no answer to the handshake in time") from None


def is_final(error: Exception) -> bool:
    """Whether another member would only say the same: it answered, and the answer is about the request."""
    if isinstance(error, UpstreamRefused):
        return error.upstream_status is not None and error.upstream_status < 500
    return isinstance(error, NotFound) or not isinstance(error, DialFailed | UpstreamTimeout)
