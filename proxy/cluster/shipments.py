"""How one node at a time ships events in order, as dialogues with Redis that know no client library.

Whose turn it is stands in Redis, and the script that publishes looks there: a node that was frozen, and whose
turn went to another meanwhile, ships nothing of what it had read. What was shipped is deleted from the table
before more is shipped, so that all that may be shipped twice was in the call before: its keys are kept.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.cluster.questions import Command, Script
from proxy.core.history import History

TAKE_TURN, END_TURN = Script("take_turn.lua"), Script("end_turn.lua")
SHIP = Script("position.lua", "remember.lua", "ship.lua")
TURN, SHIPPED = "gateway:shipping:turn", "gateway:shipping:last"
# After this time without a sign of whose turn it is, another takes it.
TURN_SECONDS = 5.0
_KEPT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Shipment:
    """A signal for a group, with a key of its own, whoever ships it; its topic may have a `history`."""

    group: str
    signal: Mapping[str, Any]
    key: str
    history: History | None = None


def taking_turn(who: str) -> Generator[Command, Any, bool]:
    """Whether it is the turn of `who`, which then lasts on. It yields, and is told, as `Script.run`."""
    return bool((yield from TAKE_TURN.run((TURN,), who, round(TURN_SECONDS * 1000))))


def ending_turn(who: str) -> Generator[Command, Any, None]:
    """If it is the turn of `who`, it ends. It yields, and is told, as `Script.run`."""
    yield from END_TURN.run((TURN,), who)


def shipping(sent: Sequence[tuple[Any, ...]], who: str) -> Generator[Command, Any, bool]:
    """Publish what ship.lua takes of each signal; False if it is not the turn of `who`. As `Script.run`."""
    words = [word for each in sent for word in each]
    head = (who, round(TURN_SECONDS * 1000), _KEPT_SECONDS)
    return (yield from SHIP.run((TURN, SHIPPED), *head, *words)) is not None
