"""Things that are numbered 1, 2, 3… and come in any order, more than once or not at all. No I/O."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

# What comes early beyond that is left out, and lacks later on: it can be read again.
MOST_EARLY = 1_000


class InOrder(Generic[T]):
    """Hands out each thing once, in the order of numbers, and knows which ones it lacks.

    Until `begin` has said which number was the last before, it keeps what comes.
    """

    __slots__ = ("_early", "_heard", "last")

    def __init__(self) -> None:
        self.last: int | None = None
        self._heard = 0
        self._early: dict[int, T] = {}

    def begin(self, last: int) -> list[T]:
        """What was handed out, somewhere, ends with `last`; again, it says no more than `hear`."""
        if self.last is None:
            self.last = last
            self._early = {number: item for number, item in self._early.items() if number > last}
        self.hear(last)
        return self._ready()

    def hear(self, number: int) -> None:
        """There is a thing of that number."""
        self._heard = max(self._heard, number)

    def take(self, number: int, item: T) -> list[T]:
        """What may be handed out now that `item` has come."""
        self.hear(number)
        if self.last is not None and number <= self.last:
            return []
        if len(self._early) < MOST_EARLY or number - 1 == self.last:
            self._early[number] = item
        return self._ready()

    def pass_over(self, number: int) -> list[T]:
        """There is nothing before `number` any more but what has come: that may be handed out now."""
        if self.last is None or number <= self.last:
            return []
        came = [self._early.pop(early) for early in sorted(self._early) if early < number]
        self.last = number - 1
        return came + self._ready()

    @property
    def lacks(self) -> range:
        """Numbers that something is missing among, the first of which is; empty when nothing is."""
        return range(0) if self.last is None else range(self.last + 1, self._heard + 1)

    def _ready(self) -> list[T]:
        ready: list[T] = []
        while self.last is not None and self.last + 1 in self._early:
            self.last += 1
            ready.append(self._early.pop(self.last))
        return ready
