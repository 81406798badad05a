"""Rows as lines of a person's timeline, in words."""

from __future__ import annotations

from proxy.core.causes import refused_words_of, words_of
from proxy.core.closes import Close, ClosedBy
from proxy.core.human import duration
from proxy.core.link_events import in_words
from proxy.core.people import NOTE_WORDS, Entry, NoteKind, Place, Source
from proxy.models import Connection, LinkEvent, Refusal, StaffNote

_OURS = {ClosedBy.GATEWAY.value, ClosedBy.STAFF.value}


def opened(row: Connection) -> Entry:
    where = f" from {row.client_address}" if row.client_address else ""
    return Entry(
        place=Place(row.opened_at, Source.OPENED, row.pk),
        words=f"Connected to {row.route}{where}",
        said=row.path,
        row_id=row.pk,
        request_id=row.request_id,
    )


def closed(row: Connection) -> Entry:
    """A row that has closed."""
    assert row.closed_at is not None  # noqa: S101  it is what was asked for
    lasted = duration((row.closed_at - row.opened_at).total_seconds())
    by = row.get_closed_by_display() or "nobody knows whom"
    details = f"{row.close_code or 'no code'} by {by} on {row.route}, after {lasted}{_comes_back(row)}"
    return Entry(
        place=Place(row.closed_at, Source.CLOSED, row.pk),
        words=f"Disconnected: {words_of(row.cause) or 'why is not known'}",
        details=details,
        said=row.close_reason,
        row_id=row.pk,
        request_id=row.request_id,
    )


def _comes_back(row: Connection) -> str:
    """What the gateway's own closes mean to clients; of other ends, whoever closed knows."""
    if row.close_code is None or row.closed_by not in _OURS:
        return ""
    meant = Close(row.close_code).comes_back
    return f"; comes back: {meant}" if meant else ""


def refused(row: Refusal) -> Entry:
    more = f", and {row.times - 1:,} more within the minute" if row.times > 1 else ""
    address = f" from {row.client_address}" if row.client_address else ""
    meant = Close(row.close_code).comes_back if row.close_code is not None else None
    return Entry(
        place=Place(row.refused_at, Source.REFUSAL, row.pk),
        words=f"Turned away: {refused_words_of(row.cause)}{more}",
        details=f"{row.status or 'no status'} {row.cause} on {row.route}{address}"
        + (f"; comes back: {meant}" if meant else ""),
        said=row.reason,
        row_id=row.pk,
        request_id=row.request_id,
    )


def happened(row: LinkEvent) -> Entry:
    words, details = in_words(row.kind, row.words, row.times)
    return Entry(
        place=Place(row.at, Source.LINK_EVENT, row.pk),
        words=words,
        details=details,
        row_id=row.connection_id,
    )


def noted(row: StaffNote) -> Entry:
    """A line of staff; of a kind that this release does not know, by its name."""
    words = NOTE_WORDS[NoteKind(row.kind)] if row.kind in set(NoteKind) else row.kind.replace("_", " ")
    everybody = "" if row.user_id else ", as everybody was"
    return Entry(
        place=Place(row.at, Source.NOTE, row.pk),
        words=f"{words} by {row.by or 'nobody knows whom'}{everybody}",
        said=row.text,
        row_id=row.pk if row.kind == NoteKind.NOTE else "",
    )
