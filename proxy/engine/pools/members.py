"""One member of a pool: what was declared of it, what is known of it, and whether it may be dialled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum
from math import inf
from urllib.parse import urlsplit

from proxy.core.pools.breaker import Breaker, BreakerState
from proxy.core.pools.health import Health
from proxy.core.routes import MemberSpec, Upstream
from proxy.engine.pools.resolving import Addresses

# A link that is lost without a close this soon after its start counts against its member, unless the member
# keeps others: it has one that is older, or one has ended with a close as lately as that.
EARLY_SECONDS = 5.0
KEPT_SECONDS = 10.0
# A member that says it is busy comes after the others, so long at most; once so many clients were told.
LONGEST_BUSY_SECONDS = 10.0
_CLIENTS_TO_BELIEVE = 2
# What went wrong last is shown so long at least, and then until the member is well.
ERROR_SHOWN_SECONDS = 600.0
# A new dial's share of the average that is shown.
_LATENCY_SHARE = 0.2


class MemberState(StrEnum):
    """Why a member gets new links, or gets none: the first of these that holds."""

    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    BROKEN = "broken"  # its circuit breaker is open
    FULL = "full"
    AVAILABLE = "available"


class Member:
    """`clock` is monotonic seconds, `random` in [0, 1). `links` counts leases, dials under way included."""

    def __init__(
        self,
        spec: MemberSpec,
        upstream: Upstream,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self.clock, self.random = clock, random
        self.breaker = Breaker(upstream.breaker) if upstream.breaker is not None else None
        self.spec = spec
        self.health = Health(upstream.probe) if upstream.probe is not None else None
        self.addresses = Addresses(urlsplit(spec.url).hostname or "")
        self._told_busy: dict[str, float] = {}  # clients, and until when
        self.links = 0
        self.removed = False
        self.answered = False  # ever, a probe or a dial
        self._error, self._error_at = "", -inf
        self.dial_seconds: float | None = None
        self.suspected = asyncio.Event()
        self._live: dict[Use, float] = {}  # since when each link is, the oldest first
        self._closed_at = -inf

    @property
    def url(self) -> str:
        return self.spec.url

    @property
    def weight(self) -> int:
        return self.spec.weight

    @property
    def draining(self) -> bool:
        return self.removed or self.spec.draining

    @property
    def healthy(self) -> bool:
        """What the probes say; True where there are none."""
        return self.health is None or self.health.healthy

    @property
    def full(self) -> bool:
        most = self.spec.max_connections
        return most is not None and self.links >= most

    @property
    def busy(self) -> bool:
        """It says so, and not of one client only: it is there, but others go before."""
        now = self.clock()
        return sum(until > now for until in self._told_busy.values()) >= _CLIENTS_TO_BELIEVE

    @property
    def state(self) -> MemberState:
        if self.draining:
            return MemberState.DRAINING
        if not self.healthy:
            return MemberState.UNHEALTHY
        if self.breaker is not None and not self.breaker.allows(self.clock()):
            return MemberState.BROKEN
        return MemberState.FULL if self.full else MemberState.AVAILABLE

    @property
    def wait_seconds(self) -> float:
        """How long its breaker still keeps everybody off it."""
        return 0.0 if self.breaker is None else self.breaker.wait_seconds(self.clock())

    @property
    def breaker_state(self) -> BreakerState:
        return BreakerState.CLOSED if self.breaker is None else self.breaker.state(self.clock())

    @property
    def last_error(self) -> str:
        """What went wrong last; empty when nothing has for `ERROR_SHOWN_SECONDS`, and the member is well."""
        is_well = self.answered and self.healthy and self.breaker_state is BreakerState.CLOSED
        is_old = self.clock() - self._error_at > ERROR_SHOWN_SECONDS
        return "" if is_well and is_old else self._error

    @last_error.setter
    def last_error(self, why: str) -> None:
        self._error, self._error_at = why, self.clock()

    def allows(self, key: str) -> bool:
        """Whether a client of that key may be the one that is tried after failures."""
        return self.breaker is None or self.breaker.allows(self.clock(), by=key)

    def said_busy(self, why: str, *, seconds: float, by: str) -> None:
        """It said to client `by` that it is, for so long."""
        now, self.last_error = self.clock(), why
        told = {client: until for client, until in self._told_busy.items() if until > now}
        if by in told or len(told) < _CLIENTS_TO_BELIEVE:
            told[by] = now + min(seconds, LONGEST_BUSY_SECONDS)
        self._told_busy = told

    def let_in(self, use: Use, now: float, *, seconds: float) -> None:
        """It answered a dial after so long, and there is a link from now on."""
        before = self.dial_seconds
        self.dial_seconds = seconds if before is None else before + _LATENCY_SHARE * (seconds - before)
        self._told_busy, self.answered = {}, True
        self._live[use] = now

    def probed(self, *, ok: bool, why: str = "") -> bool:
        """Take in a probe's result; True if it changed whether the member is healthy."""
        if ok:
            self.answered = True
        else:
            self.last_error = why
        if self.breaker is not None:
            self.breaker.well(self.clock()) if ok else self.breaker.ill()
        return self.health is not None and self.health.saw(ok)

    def link_ended(self, use: Use, now: float, *, lost: bool) -> bool:
        """Whether it was lost early. Any other end, and all that are kept longer, say that links are kept."""
        was_early = now - self._live.pop(use) < EARLY_SECONDS and lost
        if not lost:
            self._closed_at = now
        if self.breaker is not None and (not was_early or self.keeps_links(now)):
            self.breaker.kept_a_link()
        return was_early

    def keeps_links(self, now: float) -> bool:
        """Whether the links of others say that the member is well, and its probes say nothing else.

        A client may send what ends its own links, and with a few accounts those of a few clients. A member
        that drops everybody keeps nobody's.
        """
        oldest = next(iter(self._live.values()), now)
        return self.healthy and (now - oldest >= EARLY_SECONDS or now - self._closed_at < KEPT_SECONDS)

    def suspect(self, why: str) -> None:
        """Something went wrong with it: staff shall see what, and the probes shall ask."""
        self.last_error = why
        self.suspected.set()


class Use:
    """One client's use of a member: a dial and, if that succeeds, a link. Begins with the dial.

    The dial ends with exactly one of `dialled`, `failed` and `given_up`, the link with `released`. One
    that was given up because the member spoke of the request may be `belied` afterwards.
    """

    __slots__ = ("_by", "_dial", "_since", "member")

    def __init__(self, member: Member, *, by: str) -> None:
        self.member, self._by = member, by
        self._since = member.clock()
        self._dial = 0 if member.breaker is None else member.breaker.begin(self._since)
        member.links += 1

    def dialled(self) -> float:
        """It answered, after so many seconds; the link counts until `released`."""
        now = self.member.clock()
        seconds = now - self._since
        self.member.let_in(self, now, seconds=seconds)
        if self.member.breaker is not None:
            self.member.breaker.succeeded(self._dial, now)
        return seconds

    def failed(self, why: str, *, is_request: bool) -> None:
        """The member is to blame; or, `is_request`, it may be what this client asked for."""
        self.member.links -= 1
        self._blame(why, is_request=is_request)

    def given_up(self) -> None:
        """The dial says nothing about the member: the client left, or the member spoke of the request."""
        self.member.links -= 1
        if self.member.breaker is not None:
            self.member.breaker.given_up(self._dial)

    def busy(self, why: str, *, seconds: float) -> None:
        """The member said that it is, for so long. That is no failure."""
        self.member.said_busy(why, seconds=seconds, by=self._by)
        self.given_up()

    def belied(self, why: str) -> None:
        """What it said when the dial was given up was wrong: the member is to blame, if not the request."""
        self._blame(why, is_request=True)

    def released(self, *, lost: bool) -> None:
        """The link has ended; if it was lost just after its start, the member may be to blame."""
        self.member.links -= 1
        now, why = self.member.clock(), "a link was lost right after its start"
        if self.member.link_ended(self, now, lost=lost):
            if self.member.keeps_links(now):
                self.member.suspect(why)
            else:
                self._blame(why, is_request=True, was_let_in=True)

    def _blame(self, why: str, *, is_request: bool, was_let_in: bool = False) -> None:
        member = self.member
        member.suspect(why)
        if member.breaker is not None:
            # What the probes see, too, is no client's doing.
            by = self._by if is_request and member.healthy else None
            now, random = member.clock(), member.random()
            member.breaker.failed(self._dial, now, random=random, by=by, was_let_in=was_let_in)
