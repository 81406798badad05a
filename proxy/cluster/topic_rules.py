"""Rules of topics, which products tell: what is closed for maintenance, and what has room for so many links.

Products load them (from rows, as a rule), and every node asks with the other rules of staff (rules.py): when
a change is announced, and within two seconds. No handshake asks the database, and while that is away the last
ones hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from django.db import Error

from proxy.cluster.ending import end_link, hold_against
from proxy.core import closes
from proxy.core.answers import wrong
from proxy.core.closes import ClosedBy
from proxy.core.topic_rules import ClosedForMaintenance, TopicRule, TopicRules
from proxy.engine.links.link import Link
from proxy.tables.executor import DatabaseExecutor

log = logging.getLogger(__name__)

# May ask the database; runs in a thread of the node's own.
LoadRules = Callable[[], Iterable[TopicRule]]
Hold = Callable[[str, Mapping[str, int]], object]

_told: dict[str, LoadRules] = {}


def tell_topic_rules(name: str, load: LoadRules) -> None:
    """Have every node keep to the rules that `load` answers; call this at import.

    It is called within two seconds on every node, and when `announce_topic_rules` was: one query, and only of
    rows that say anything. What it raises is logged, and its last rules hold.

    Raises:
        ValueError: others are told by that name.
    """
    if _told.setdefault(name, load) is not load:
        raise ValueError(f"two different rules of topics are named {name!r}")


class TopicWatch:
    """Keeps this node to the rules. `links` are its live links; `hold` counts one among those of topics."""

    def __init__(
        self, database: DatabaseExecutor, *, links: Callable[[], Iterable[Link]], hold: Hold
    ) -> None:
        self._database, self._links, self._hold = database, links, hold
        self._loaded: dict[str, tuple[TopicRule, ...]] = {}
        self._failing: set[str] = set()
        self._rules = TopicRules()

    def check(self, topics: Iterable[str]) -> None:
        """Raises ClosedForMaintenance: one of them is closed."""
        rule = self._rules.closed(topics)
        if rule is not None:
            raise ClosedForMaintenance(f"{rule.topic} is closed", message=rule.closed or "")

    def capacities(self, topics: Iterable[str]) -> dict[str, int]:
        """How many links each may have, of those that have a bound."""
        return self._rules.capacities(topics)

    def enforce(self, link: Link) -> bool:
        """Count the link among those of its topics, or end it if they are closed; whether it has ended."""
        if self._rules.ends_links(link.topics):
            return end_link(link, closes.MAINTENANCE, ClosedBy.STAFF)
        if capacities := self._rules.capacities(link.topics):
            self._hold(link.id, capacities)
        return False

    async def look(self) -> None:
        """Ask for the rules, and hold the links against them. Raises what the database does."""
        loaded = {name: await self._load(name, load) for name, load in tuple(_told.items())}
        if loaded == self._loaded:
            return
        self._loaded = loaded
        self._rules = TopicRules(rule for rules in loaded.values() for rule in rules)
        await hold_against(self._links(), self.enforce)

    async def _load(self, name: str, load: LoadRules) -> tuple[TopicRule, ...]:
        try:
            rules = await self._database.run(_load, load)
        except (Error, OSError):
            raise
        except Exception:
            if name not in self._failing:
                log.exception(
                    "rules of topics could not be loaded, the last ones hold", extra={"rules": name}
                )
            self._failing.add(name)
            return self._loaded.get(name, ())
        self._failing.discard(name)
        return rules


def _load(load: LoadRules) -> tuple[TopicRule, ...]:
    rules = tuple(load())
    for rule in rules:
        if not isinstance(rule, TopicRule):
            raise wrong(rule, "a rule of a topic is a TopicRule")
    return rules
