"""Experiences closed for maintenance, and opened again: by their rows, which every node keeps to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from experience.models import Experience
from experience.topics import experience_topic
from proxy.api import Details, LiveLinks, note_deed

MOST_NAMED = 20


def names(rows: Sequence[Experience]) -> str:
    """Their slugs, some of many."""
    more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return ", ".join(row.slug for row in rows[:MOST_NAMED]) + more


def topics(rows: Sequence[Experience]) -> list[str]:
    return [experience_topic(row.slug) for row in rows]


@transaction.atomic
def disable(rows: Sequence[Experience], *, ends_links: bool, reason: str, by: Any) -> str:
    """Let nobody in from now on, and end the links that live if `ends_links`; what is said of it.

    One entry in the audit, of `by`, a user or a program's name. Raises django.db.Error.
    """
    live = LiveLinks(topics(rows))
    did = f"Disabled, with {live.in_words()}, which {'are closed' if ends_links else 'stay'}"
    _set(rows, {"enabled": False, "ends_links": ends_links})
    _note(rows, did, reason=reason, by=by, count=live.total)
    return did


@transaction.atomic
def enable(rows: Sequence[Experience], *, reason: str, by: Any) -> str:
    """Let clients in again; as `disable`."""
    _set(rows, {"enabled": True, "ends_links": False})
    _note(rows, "Enabled", reason=reason, by=by)
    return "Enabled"


def _set(rows: Sequence[Experience], values: dict[str, bool]) -> None:
    """Nodes hear of it once it is committed."""
    for row in rows:
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=list(values))


def _note(rows: Sequence[Experience], did: str, *, reason: str, by: Any, count: int | None = None) -> None:
    is_one = len(rows) == 1
    note_deed(
        by,
        Experience,
        f"{did}: {reason}" if is_one else f"{did}: {reason} ({names(rows)})",
        about=str(rows[0]) if is_one else f"{len(rows)} experiences",
        object_id=str(rows[0].pk) if is_one else "",
        details=Details(count=count, reason=reason),
    )
