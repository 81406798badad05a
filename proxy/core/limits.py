"""Bounds: on one link, and on how often something may happen."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smh])")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """Bounds on one link. Durations are seconds, sizes bytes; none may be switched off."""

    dial_timeout_seconds: float = 5.0
    idle_timeout_seconds: float = 300.0
    close_timeout_seconds: float = 5.0
    slow_consumer_seconds: float = 20.0
    ping_interval_seconds: float = 25.0
    ping_timeout_seconds: float = 20.0
    token_grace_seconds: float = 5.0
    reconnect_seconds: float = 30.0
    max_message_bytes: int = 1 << 20
    outbox_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 < getattr(self, name) < math.inf:  # nan, too, is no bound
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBounds:
    """What a route's links may have of their own, in place of what the node allows; None: that.

    `dial_timeout_seconds` is also what each of its hooks may take.
    """

    dial_timeout_seconds: float | None = None
    max_message_bytes: int | None = None
    outbox_bytes: int | None = None
    idle_timeout_seconds: float | None = None

    def within(self, limits: LinkLimits) -> LinkLimits:
        """`limits`, but for what is bounded here. Raises ValueError for what is no bound."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return replace(limits, **{name: bound for name, bound in own.items() if bound is not None})


NODE_BOUNDS = LinkBounds()


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` times in `seconds`; written `20/s`, `100/m`, `5/h`."""

    count: float
    seconds: float
    seconds_each: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds_each", self.seconds / self.count)  # asked for each message

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Raises ValueError with what a rate looks like."""
        match = _RATE.fullmatch(text.strip())
        if match is None or not 0 < float(match[1]) < math.inf:
            raise ValueError(f"a rate is a positive number a unit, such as 20/s or 100/m; got {text!r}")
        return cls(float(match[1]), _UNIT_SECONDS[match[2]])

    @property
    def per_second(self) -> float:
        return self.count / self.seconds

    def __str__(self) -> str:
        unit = next((unit for unit, seconds in _UNIT_SECONDS.items() if seconds == self.seconds), None)
        count = f"{Decimal(repr(self.count)):f}".removesuffix(".0")  # never 1e+06, which is no rate
        return f"{count}/{unit or f'{self.seconds:g}s'}"


# What any client may send beside its messages: pings and pongs, and control messages for the gateway. What
# goes beyond is read, and answered, later.
CONTROL_FRAME_RATE = Rate(100, 1.0)
CONTROL_MESSAGE_RATE = Rate(60, 60.0)
# What is read of one user, or of a link where nothing is bounded per user, to be dropped as beyond its rate:
# so many messages, a big one counting once more for each so many bytes.
DROPPED_RATE = Rate(1000, 1.0)
BYTES_A_DROP = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many links at once an address and a user may have, and how fast an address may open them.

    They count over all nodes, and for each route by itself; routes whose limits have the same `name` are
    counted together.
    """

    name: str = ""
    per_address: int = 10
    per_user: int = 5
    connect_rate: Rate = Rate(20, 1)


class OverRate(StrEnum):
    """What becomes of a message beyond the rate.

    `drop`: it is lost, and the client told. `close`: the link ends with 1008. `wait`: nothing is lost, the
    client is read no faster than the rate.
    """

    DROP = "drop"
    CLOSE = "close"
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """How much a client may send. None switches one off; bursts of one second's (minute's…) worth pass.

    The limits of a user hold for all the user's links on one process together; across processes they are
    approximate: at worst each allows the whole rate.
    """

    messages_per_user: Rate | None = None
    messages_per_connection: Rate | None = None
    bytes_per_user: Rate | None = None
    bytes_per_connection: Rate | None = None
    over: OverRate = OverRate.DROP

    @property
    def is_per_user(self) -> bool:
        """Whether a user's links share anything."""
        return self.messages_per_user is not None or self.bytes_per_user is not None

    @property
    def is_unlimited(self) -> bool:
        of_connection = self.messages_per_connection is not None or self.bytes_per_connection is not None
        return not (of_connection or self.is_per_user)


UNLIMITED = MessageLimits()
