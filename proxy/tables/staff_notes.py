"""Writes down what staff do to users, where it is found by whom it hit; docs/decisions/0221 says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.contrib.admin.models import ADDITION, DELETION
from django.db import transaction
from django.utils import timezone

from proxy.core.people import NoteKind
from proxy.models import Block, Connection, Kick, Person, Revocation, StaffNote
from proxy.tables.deeds import Details, note_deed

_MOST_BY_CHARS = 128
_ROWS_AT_ONCE = 500
MAX_NOTE_CHARS = 2_000
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


@transaction.atomic
def add_note(user_id: str, text: str, *, by: Any) -> StaffNote:
    """What somebody wrote about a user. One deed of `by`'s."""
    row = StaffNote.objects.create(
        user_id=user_id, kind=NoteKind.NOTE.value, text=text, by=str(by)[:_MOST_BY_CHARS]
    )
    details = Details(count=1, reason=text, flag=ADDITION)
    note_deed(by, Person, f"Note added: {text}", about=user_id, object_id=user_id, details=details)
    return row


@transaction.atomic
def delete_note(pk: str, *, by: Any, user_id: str = "", reason: str = "") -> StaffNote | None:
    """Delete what somebody wrote, about that user, if one is named; the audit has what it said.

    None: there is no such note any more.
    """
    notes = StaffNote.objects.select_for_update().filter(kind=NoteKind.NOTE.value, pk=pk[:32])
    row = (notes.filter(user_id=user_id) if user_id else notes).first()
    if row is None:
        return None
    because = f" ({reason})" if reason else ""
    said = f"Note of {row.by} deleted{because}: {row.text}"
    details = Details(count=1, reason=reason, flag=DELETION)
    note_deed(by, Person, said, about=row.user_id, object_id=row.user_id, details=details)
    row.delete()
    return row


def note_kick(kick: Kick, *, reason: str, by: object, at: datetime) -> None:
    """One line for each user that it names, or whose links it names; `at`: when it was sent, `reason`: the
    one that was given, or ""."""
    user_ids = {EVERYBODY} if kick.everyone else set(kick.user_ids)
    if kick.connection_ids:
        links = Connection.objects.filter(pk__in=kick.connection_ids).exclude(user_id="").order_by()
        user_ids.update(links.values_list("user_id", flat=True))
    note(sorted(user_ids), NoteKind.KICKED, text=reason, by=by, at=at)


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
