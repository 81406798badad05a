"""What `manage.py doctor` tries of a product's own, beside its own parts: told at import, as routes are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProductTrial:
    """`look` answers what it has seen, in one line; whatever it raises, the part has failed, and an Amiss
    says how. `hint`: what to do then."""

    look: Callable[[], Awaitable[str]]
    hint: str


_told: dict[str, ProductTrial] = {}


def tried_by_doctor(part: str, look: Callable[[], Awaitable[str]], *, hint: str) -> None:
    """Have `manage.py doctor` try `part`, under its deadline, beside all others; call this at import.

    `look` changes nothing that stays. What it answers or raises is shown without passwords of settings.

    Raises ValueError: another part has that name.
    """
    trial = ProductTrial(look, hint)
    if _told.setdefault(part, trial) != trial:
        raise ValueError(f"two different parts for the doctor are named {part!r}")


def told() -> Mapping[str, ProductTrial]:
    """All that was told, by its part."""
    return dict(_told)
