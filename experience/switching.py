"""Experiences closed for maintenance, and opened again: by their rows, which every node keeps to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE
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
    _note(rows, did, reason=reason, by=by, count=live.total.links)
    return did


@transaction.atomic
def close(slug: str, *, message: str | None, ends_links: bool, reason: str, by: Any) -> Experience:
    """Disable the one of that slug, which need have no row yet; it is open without one.

    `message`: what clients are told from now on; None: what they were told before. Raises ValidationError,
    django.db.Error.
    """
    row, _ = _row_of(slug)
    if message is not None:
        row.maintenance_message = message
        row.full_clean()
        row.save(update_fields=["maintenance_message"])
    disable([row], ends_links=ends_links, reason=reason, by=by)
    return row


@transaction.atomic
def change(slug: str, said: Mapping[str, Any], *, reason: str, by: Any) -> Experience:
    """Say something else of the one of that slug, by the names of its columns; one entry in the audit.

    Raises ValidationError, django.db.Error.
    """
    row, is_new = _row_of(slug)
    for name, value in said.items():
        setattr(row, name, value)
    row.full_clean()
    row.save(update_fields=list(said))
    changes = ", ".join(f"{name.replace('_', ' ')} {value or 'none'}" for name, value in said.items())
    details = Details(reason=reason, flag=ADDITION if is_new else CHANGE)
    note_deed(
        by, Experience, f"Changed {changes}: {reason}", about=slug, object_id=str(row.pk), details=details
    )
    return row


def _row_of(slug: str) -> tuple[Experience, bool]:
    """It, and whether it is new; of two who write it at a time the second waits. Raises ValidationError."""
    Experience._meta.get_field("slug").clean(slug, None)
    return Experience.objects.select_for_update().get_or_create(slug=slug)


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
