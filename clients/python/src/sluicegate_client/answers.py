"""What is told to the gateway and what it tells, as values."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any


def new_idempotency_key() -> str:
    """One that no other publication has."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Publication:
    """One event for one topic, which goes out once in five minutes however often it is published.

    That is what its key is for, which it is given when it is made: publish the same object again when you
    cannot know whether it went out, and make another to say the same thing twice.
    """

    topic: str
    event: Mapping[str, Any]
    idempotency_key: str = field(default_factory=new_idempotency_key)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Who took an event: so many `links`, on so many `nodes`. Both 0: nobody was there.

    `silent` nodes listen to the topic and have not said in time whether their links took it.
    """

    nodes: int
    links: int
    silent: int = 0

    @classmethod
    def read(cls, told: Any) -> Delivered:
        return cls(int(told["nodes"]), int(told["links"]), int(told.get("silent", 0)))


@dataclass(frozen=True, slots=True)
class Kicked:
    """What became of a kick: `ended` links; None where nobody can say.

    `silent` nodes have not spoken in time, and end theirs once they hear.
    """

    ended: int | None
    silent: int

    @classmethod
    def read(cls, told: Any) -> Kicked:
        ended = told["ended"]
        return cls(None if ended is None else int(ended), int(told["silent"]))


@dataclass(frozen=True, slots=True)
class Present:
    """A socket that is on a topic, and whose it is."""

    connection_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is on a topic: so many `links`, on so many `nodes`; `who` are as many of them as were to be named.

    `silent` nodes listen to the topic and have not answered in time; theirs are not counted.
    """

    nodes: int
    links: int
    who: tuple[Present, ...] = ()
    silent: int = 0

    @property
    def users(self) -> tuple[str, ...]:
        """Whose links those in `who` are, each user once."""
        return tuple(dict.fromkeys(each.user_id for each in self.who))

    @classmethod
    def read(cls, told: Any) -> Presence:
        who = tuple(Present(str(each["connection"]), str(each["user"])) for each in told["who"])
        return cls(int(told["nodes"]), int(told["links"]), who, int(told.get("silent", 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One client's socket. What is None is not known; `closed_at` and what follows from it, while it is live.

    Its counters are some seconds old while it is live. Sizes are bytes.
    """

    id: str
    node: str
    route: str
    path: str
    topic: str
    user_id: str
    email: str
    client_address: str | None
    user_agent: str
    opened_at: datetime
    last_activity_at: datetime | None
    closed_at: datetime | None
    close_code: int | None
    close_reason: str
    closed_by: str
    messages_in: int
    messages_out: int
    bytes_in: int
    bytes_out: int
    messages_dropped: int

    @classmethod
    def read(cls, told: Any) -> Connection:
        """What newer gateways tell beyond this is left out."""
        values = {each.name: told[each.name] for each in fields(cls)}
        for name in ("opened_at", "last_activity_at", "closed_at"):
            if values[name] is not None:
                values[name] = _time(values[name])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Page:
    """Some connections, and where the next ones are; None: there are no more."""

    connections: tuple[Connection, ...]
    cursor: str | None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 knows no Z
