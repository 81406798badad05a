"""Where events for other services go: what a broker has to promise."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import NoReturn, Protocol

from proxy.core.outgoing import Row


class Sent(Enum):
    """What became of an event that the broker took."""

    SENT = "sent"
    DOUBLED = "doubled"  # it had it already
    UNROUTED = "unrouted"  # nobody has asked for such, and it has let go of it


class Refused(Exception):
    """The broker will never take this event: it is set aside, and those behind it go on."""


class NotNow(Exception):
    """The broker does not take this event for now: those of its key wait, others go on."""


class OneRefused(Exception):
    """The broker will never take one of those that are under way, and does not say which. It has ended the
    session over it."""


class Session(Protocol):
    """One time of being connected to a broker."""

    async def send(self, row: Row) -> Sent:
        """Returns once the broker has taken the event for good; called for many at a time.

        Raises:
            Refused, NotNow, OneRefused: as they say.
            Exception: the broker is away, or nobody knows whether it has the event.
        """

    async def last(self) -> NoReturn:
        """Wait until the broker is away, which is raised, whatever it is."""


class Destination(Protocol):
    """A broker for events of ours."""

    @property
    def name(self) -> str:
        """In logs and metrics."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """Connect, and see to what is to take the events.

        Raises whatever the client library does, ConnectionError with what a person can act on; its text
        holds no secret.
        """
