"""A bounded queue of records that may count on while they wait, or are written: the newest copy of each."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from typing import Generic, Protocol, TypeVar


class Identified(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Identified)


class Coalescing(Generic[R]):
    """What waits to be written, one copy an id. When `most` wait, the oldest are given up, and `_gave_up` is
    told of each. Every operation is O(1) a record.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, R] = OrderedDict()
        self._writing: dict[str, R] = {}

    @property
    def count(self) -> int:
        """All records, those being written included."""
        return len(self._waiting) + len(self._writing)

    @property
    def waiting(self) -> int:
        """Records that are not part of the batch being written."""
        return len(self._waiting)

    def take(self, most: int) -> list[R]:
        """The next batch, the oldest; it counts as being written until `written` or `put_back`."""
        if self._writing:
            raise RuntimeError("a batch is being written already")
        while self._waiting and len(self._writing) < most:
            record_id, record = self._waiting.popitem(last=False)
            self._writing[record_id] = record
        return list(self._writing.values())

    def written(self) -> None:
        """The batch reached the database."""
        self._writing = {}

    def put_back(self) -> None:
        """The batch did not reach the database: keep of it what has not counted on meanwhile."""
        batch, self._writing = self._writing, {}
        for record in reversed(batch.values()):
            if record.id not in self._waiting:
                self._waiting[record.id] = record
                self._waiting.move_to_end(record.id, last=False)

    def _wait(self, record: R) -> None:
        self._waiting[record.id] = copy(record)  # it may count on while it is written
        while self.count > self._most and self._waiting:
            self._gave_up(self._waiting.popitem(last=False)[1])

    def _gave_up(self, record: R) -> None:
        """There is no room for it."""
        raise NotImplementedError
