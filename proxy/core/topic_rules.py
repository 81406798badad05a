"""What a product says of topics: closed for maintenance, or with room for so many links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proxy.core import closes
from proxy.core.answers import one_text
from proxy.core.errors import GatewayError

MOST_MESSAGE_CHARS = 500
MOST_CAPACITY = 1_000_000
# Of what staff say, in a close frame, so that when to come back fits behind it.
_MOST_SAID_BYTES = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRule:
    """What holds for the links of `topic` that come from now on, on every node.

    `closed`: they are refused with these words, or with the gateway's own for ""; None lets them in.
    `ends_links`: those that live end, too. `most_links`: so many may be there at a time, over all nodes;
    None: any number.

    Raises:
        ValueError: no client could be told the words, or nobody would have room, or links of an open topic
            were to end.
    """

    topic: str
    closed: str | None = None
    ends_links: bool = False
    most_links: int | None = None

    def __post_init__(self) -> None:
        if self.closed is not None and len(one_text(self.closed)) > MOST_MESSAGE_CHARS:
            raise ValueError(f"a client is told at most {MOST_MESSAGE_CHARS} characters")
        if self.ends_links and self.closed is None:
            raise ValueError("the links of a topic end when it is closed, and this is not")
        if self.most_links is not None and not 1 <= self.most_links <= MOST_CAPACITY:
            raise ValueError(f"a topic has room for 1 to {MOST_CAPACITY:,} links, not {self.most_links!r}")


class TopicRules:
    """The rules in force. Of several of one topic each holds."""

    def __init__(self, rules: Iterable[TopicRule] = ()) -> None:
        self._rules: dict[str, list[TopicRule]] = {}
        for rule in rules:
            self._rules.setdefault(rule.topic, []).append(rule)

    def closed(self, topics: Iterable[str]) -> TopicRule | None:
        """A rule that closes one of them; None: all are open."""
        return next((rule for rule in self._of(topics) if rule.closed is not None), None)

    def ends_links(self, topics: Iterable[str]) -> bool:
        """Whether a link that hears them is to end."""
        return any(rule.ends_links for rule in self._of(topics))

    def capacities(self, topics: Iterable[str]) -> dict[str, int]:
        """How many links each may have, of those that have a bound."""
        found: dict[str, int] = {}
        for rule in self._of(topics):
            if rule.most_links is not None:
                found[rule.topic] = min(rule.most_links, found.get(rule.topic, rule.most_links))
        return found

    def _of(self, topics: Iterable[str]) -> Iterator[TopicRule]:
        return (rule for topic in topics for rule in self._rules.get(topic, ()))


class ClosedForMaintenance(GatewayError):
    """A topic of the link is closed: staff's wish, in words of theirs."""

    status = 503
    close = closes.CLOSED_FOR_MAINTENANCE
    code = "closed_for_maintenance"
    message = "Closed for maintenance; try again later."
    retry_after_seconds: float = 30.0

    def __init__(self, why: str = "", *, message: str = "") -> None:
        """`why` is for the log alone; `message`, which is not "", is what clients are told."""
        super().__init__(why or "closed for maintenance")
        if message:
            said = " ".join(message.split()).encode()[:_MOST_SAID_BYTES].decode(errors="ignore")
            self.message, self.close = message, self.close.saying(f"{self.close.reason}: {said}")


class Full(GatewayError):
    """A topic of the link has as many links as it may."""

    status = 503
    close = closes.FULL
    code = "full"
    message = "It is full; try again later."
    retry_after_seconds = 5.0
