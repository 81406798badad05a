"""Places among the links of topics that have room for so many: on this node always, over all nodes while
Redis is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from proxy.core.topic_rules import Full
from proxy.engine.admission.shared_caps import Place, SharedCaps, StoreAway


class Places:
    """What links of this node hold. Memory: one entry a link and topic that has a bound."""

    def __init__(self, shared: SharedCaps | None) -> None:
        self._shared = shared
        self._of_links: dict[str, dict[str, Place]] = {}  # by link, then topic
        self._held: Counter[str] = Counter()  # by topic

    def live(self) -> list[Place]:
        """All places of this node."""
        return [place for places in self._of_links.values() for place in places.values()]

    async def take(self, link_id: str, capacities: Mapping[str, int]) -> None:
        """A place among the links of each of these topics, which may have so many; `release` gives them back,
        whatever is raised. Raises Full."""
        for topic, most in capacities.items():
            await self._take(Place(link_id, topic, most))

    def hold(self, link_id: str, capacities: Mapping[str, int]) -> None:
        """Count a link that was let in before its topics had a bound, or before this node knew of it."""
        held = self._of_links.get(link_id, {})
        missing = [Place(link_id, topic, most) for topic, most in capacities.items() if topic not in held]
        for place in missing:
            self._hold(place)
        if missing and self._shared is not None:
            self._shared.keep(missing)

    def release(self, link_id: str) -> None:
        """The link has ended, or never came to be."""
        for topic, place in self._of_links.pop(link_id, {}).items():
            self._held[topic] -= 1
            if not self._held[topic]:
                del self._held[topic]
            if self._shared is not None:
                self._shared.release(place)

    async def _take(self, place: Place) -> None:
        shared = self._shared
        if shared is None or not shared.connected:
            return self._take_here(place)
        try:
            if await shared.admit(place):
                raise _full(place)
        except StoreAway:
            try:
                return self._take_here(place)
            except Full:
                shared.release(place)  # it may have been granted all the same
                raise
        self._hold(place)
        return None

    def _take_here(self, place: Place) -> None:
        if self._held[place.topic] >= place.most:
            raise _full(place)
        self._hold(place)

    def _hold(self, place: Place) -> None:
        self._of_links.setdefault(place.link_id, {})[place.topic] = place
        self._held[place.topic] += 1


def _full(place: Place) -> Full:
    return Full(f"{place.topic} has room for {place.most} links")
