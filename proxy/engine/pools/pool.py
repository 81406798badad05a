"""The upstreams of a route: choosing an available member, dialling it, and the next one if it fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Generic

from proxy import metrics
from proxy.core.errors import (
    GatewayError,
    NoMembers,
    NotFound,
    Overloaded,
    ServiceBusy,
    ServiceRefused,
    TokenExpired,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from proxy.core.pools.balancing import policy
from proxy.core.routes import MemberSpec, Upstream
from proxy.engine.pools.dial import Dial, DialFailed, DialRequest, LegT, Target
from proxy.engine.pools.members import Member, MemberState, Use


class MemberLease(Generic[LegT]):
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


# Everyday answers of a member to a client.
_REFUSALS = (NotFound, ServiceRefused, TokenExpired)
# How a member does not let a client in. All else that a dial raises is this node's own.
_NO_ENTRY = (DialFailed, UpstreamTimeout, UpstreamRefused, ServiceBusy, *_REFUSALS)
# A word about the request is believed when two members say it.
_WORDS_TO_BELIEVE = 2


class _Search:
    """One client's way from member to member: whom it asked, and what they said.

    A member that spoke of the request, or of its load, has not failed: its dial is over, and others may try
    it. If another member then lets the same client in, what it said of the request was wrong, and it is
    blamed after all. A client that nobody lets in harms nobody.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.asked: set[str] = set()
        self.deadline = float("inf")  # until the first one is asked
        self.seconds = 0.0  # for the one that is asked now
        self.failure: Exception | None = None
        self._said: list[tuple[Use, GatewayError]] = []  # of the request
        self._busy: ServiceBusy | None = None

    def is_over(self, now: float) -> bool:
        return len(self._said) >= _WORDS_TO_BELIEVE or now >= self.deadline

    def note(self, use: Use, error: Exception, *, is_connected: bool) -> None:
        """The member did not let the client in."""
        if isinstance(error, GatewayError):
            error.upstream = use.member.url
        if not isinstance(error, _REFUSALS):
            _count_failure(use, error)
        if isinstance(error, ServiceBusy):
            self._busy = self._busy or error
            use.busy(str(error), seconds=error.retry_after_seconds)
        elif isinstance(error, GatewayError) and is_about_request(error):
            self._said.append((use, error))
            use.given_up()
        else:
            self.failure = error
            use.failed(str(error) or type(error).__name__, is_request=is_connected)

    def contradicted(self) -> None:
        """Another member let the client in."""
        for use, error in self._said:
            status = error.upstream_status if isinstance(error, UpstreamRefused) else error.status
            use.belied(f"answered {status} to a client that another member let in")
            if isinstance(error, _REFUSALS):
                _count_failure(use, error)

    @property
    def word(self) -> GatewayError | None:
        """What to tell the client of what members said: about its request first, else that they are busy."""
        return self._said[0][1] if self._said else self._busy


def _count_failure(use: Use, error: Exception) -> None:
    """By member: those are bounded by settings and by staff."""
    kind = error.code if isinstance(error, GatewayError) else "dial_failed"
    metrics.child(metrics.ERRORS_TOTAL, kind, use.member.url).inc()


def is_about_request(error: Exception) -> bool:
    """Whether a member answered, and the answer is about what was asked."""
    if isinstance(error, UpstreamRefused):
        return error.upstream_status is not None and error.upstream_status < 500
    return isinstance(error, _REFUSALS)


class Pool:
    """The members of one upstream on this node. One that is taken out stays until its last link ends."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        dial_seconds: float = 5.0,
        max_concurrent_dials: int = 100,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.upstream = upstream.name, upstream
        self.dial_seconds, self._clock, self._random = dial_seconds, clock, random
        self._policy = policy(upstream.policy)
        # A pool's own: one that is black-holed must not hold up the dials of the others.
        self._turns = asyncio.Semaphore(max_concurrent_dials)
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
            if url not in self._members:
                self._members[url] = Member(spec, self.upstream, clock=self._clock, random=self._random)
            member = self._members[url]
            member.spec, member.removed = spec, False
        self.changed.set()
        return [member for url, member in self._members.items() if member.draining and url not in draining]

    async def dial(self, dial: Dial[LegT], request: DialRequest, *, key: str = "") -> MemberLease[LegT]:
        """Lease the member that the policy chooses; if it does not let the client in, another, in time.

        `key` says whose dial it is: affinity sticks to it, and one alone cannot make a member look bad.

        Raises:
            UpstreamUnavailable: none is available, or none could be reached.
            UpstreamTimeout, UpstreamRefused: what the last one tried did.
            NotFound, ServiceRefused, TokenExpired, UpstreamRefused: one says so, and none lets the client in.
            ServiceBusy: one is, and none lets the client in.
            Overloaded: too many dials wait.
        """
        search = _Search(key)
        lease = await self._ask_in_turn(search, dial, request)
        if lease is None:
            raise search.word or self._failure(search.failure)
        search.contradicted()
        return lease

    async def _ask_in_turn(
        self, search: _Search, dial: Dial[LegT], request: DialRequest
    ) -> MemberLease[LegT] | None:
        """One member after another until one lets the client in; None if nobody does.

        Whoever has a turn keeps it: the time of a dial does not pass in the queue.
        """
        if not self._candidates(search):
            return None
        try:
            async with self._turn():
                while (member := self._next(search)) is not None:
                    lease = await self._dial_one(member, search, dial, request)
                    if lease is not None:
                        return lease
        except Overloaded:
            if search.word is None:
                raise
        return None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Be one of those who dial. Raises Overloaded if that takes as long as a dial may."""
        try:
            async with asyncio.timeout(self.dial_seconds):
                await self._turns.acquire()
        except TimeoutError:
            raise Overloaded("too many dials at once") from None
        try:
            yield
        finally:
            self._turns.release()

    def _next(self, search: _Search) -> Member | None:
        """Whom to ask now, for `search.seconds`; None if nobody is left, or no time."""
        now, candidates = self._clock(), self._candidates(search)
        if not candidates or search.is_over(now):
            return None
        search.deadline = min(search.deadline, now + self.dial_seconds)
        left = search.deadline - now
        search.seconds = left if len(candidates) == 1 else left / 2  # leave time for the next one
        at_ease = [member for member in candidates if not member.busy]
        member = self._policy.choose(at_ease or candidates, key=search.key)
        search.asked.add(member.url)
        return member

    async def _dial_one(
        self, member: Member, search: _Search, dial: Dial[LegT], request: DialRequest
    ) -> MemberLease[LegT] | None:
        """None if it does not let the client in."""
        target = Target(member.url, member.addresses, seconds=search.seconds)
        use = Use(member, by=search.key)
        try:
            target.url = request.target(member.url)
            async with asyncio.timeout(search.seconds):
                leg = await dial(target, request)
        except TimeoutError:
            late = UpstreamTimeout("no answer to the handshake in time")
            search.note(use, late, is_connected=target.is_connected)
            return None
        except _NO_ENTRY as error:
            search.note(use, error, is_connected=target.is_connected)
            return None
        except BaseException:  # the client left, or it is this node that cannot
            use.given_up()
            raise
        metrics.child(metrics.DIAL_SECONDS, member.url).observe(use.dialled())
        return MemberLease(use, leg)

    def _candidates(self, search: _Search) -> Sequence[Member]:
        """Whom to choose from; where probes say that nobody is well, those whom they say it of.

        A probe that asks for the wrong thing, or comes too late, must not refuse everybody.
        """
        left = [each for url, each in self._members.items() if url not in search.asked]
        untried = [member for member in left if member.allows(search.key)]
        available = [member for member in untried if member.state is MemberState.AVAILABLE]
        if (
            available
            or search.asked
            or any(each.healthy and not each.draining for each in self._members.values())
        ):
            return available
        return [member for member in untried if member.state is MemberState.UNHEALTHY and not member.full]

    def _failure(self, failure: Exception | None) -> GatewayError:
        if isinstance(failure, GatewayError):
            return failure
        if not self._members:
            unset = f": {self.upstream.setting} is unset" if self.upstream.setting else ""
            return NoMembers(self.name, why=f"it has no members{unset}")
        states = Counter(member.state.value for member in self._members.values())
        why = ", ".join(f"{count} {state}" for state, count in states.items())
        waits = [member.wait_seconds for member in self._members.values() if not member.draining]
        return UpstreamUnavailable(self.name, why=str(failure or why), wait_seconds=min(waits, default=0.0))
