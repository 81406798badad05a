"""Writes down what staff do to users, where it is found by whom it hit; docs/decisions/0221 says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.utils import timezone

from proxy.core.people import NoteKind
from proxy.models import Block, Connection, Kick, Revocation, StaffNote

_MOST_BY_CHARS = 128
_ROWS_AT_ONCE = 500
EVERYBODY = ""


def note(
    user_ids: Iterable[str], kind: NoteKind, *, text: str, by: object, at: datetime | None = None
) -> None:
    """One line for each of the users; `by` is whoever str() names, `at` now unless given.

    Raises django.db.Error.
    """
    at = timezone.now() if at is None else at
    rows = (
        StaffNote(user_id=user_id, at=at, kind=kind.value, text=text, by=str(by)[:_MOST_BY_CHARS])
        for user_id in user_ids
    )
    StaffNote.objects.bulk_create(rows, batch_size=_ROWS_AT_ONCE)


def note_kick(kick: Kick, *, by: object, at: datetime) -> None:
    """One line for each user that it names, or whose links it names; `at`: when it was sent."""
    user_ids = {EVERYBODY} if kick.everyone else set(kick.user_ids)
    if kick.connection_ids:
        links = Connection.objects.filter(pk__in=kick.connection_ids).exclude(user_id="").order_by()
        user_ids.update(links.values_list("user_id", flat=True))
    note(sorted(user_ids), NoteKind.KICKED, text=kick.reason, by=by, at=at)


def note_block(block: Block, kind: NoteKind, *, by: object, why_lifted: str = "") -> None:
    """A line for the user, if it names one."""
    if block.user_id:
        lifted = f"; lifted: {why_lifted}" if why_lifted else ""
        note([block.user_id], kind, text=_terms(block) + lifted, by=by)


def note_revocation(row: Revocation) -> None:
    """A line for the user, or for everybody; of one token nobody knows whose it is."""
    if not row.jti and row.issued_before is not None:
        before = timezone.localtime(row.issued_before)
        text = _joined(f"issued before {before:%Y-%m-%d %H:%M:%S %Z}", row.reason)
        note([row.user_id or EVERYBODY], NoteKind.REVOKED, text=text, by=row.source)


def note_taken_back(user_ids: Collection[str], *, reason: str, by: str) -> None:
    """Tokens were taken back by themselves: of one user and reason the last time stays, as of revocations."""
    earlier = StaffNote.objects.filter(user_id__in=user_ids, kind=NoteKind.REVOKED.value, by=by, text=reason)
    earlier.delete()
    note(user_ids, NoteKind.REVOKED, text=reason, by=by)


def _terms(block: Block) -> str:
    until = "for good"
    if block.until is not None:
        until = f"until {timezone.localtime(block.until):%Y-%m-%d %H:%M %Z}"
    return _joined(f"{until}, from {block.network}" if block.network else until, block.reason)


def _joined(terms: str, reason: str) -> str:
    return f"{terms}: {reason}" if reason else terms
