"""What the tables know of one user: six queries, each answered by an index, however many rows there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db.models import F, Q, QuerySet

from proxy.core.link_events import MOST_OF_A_LINK
from proxy.core.people import Bound, NoteKind, Page, Place, Source, page_of
from proxy.models import Connection, LinkEvent, Refusal, StaffNote
from proxy.tables.person_entries import closed, happened, noted, opened, refused

PAGE_ENTRIES = 50
MOST_LIVE = 25

_OF_BLOCKS = {NoteKind.BLOCKED, NoteKind.BLOCK_CHANGED, NoteKind.UNBLOCKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Which parts of a story somebody may see, beside connections and kicks."""

    refusals: bool = True
    blocks: bool = True
    revocations: bool = True
    notes: bool = True

    def kinds(self) -> list[str]:
        """Of lines of staff."""
        hidden = set[NoteKind]()
        hidden |= set() if self.blocks else _OF_BLOCKS
        hidden |= set() if self.revocations else {NoteKind.REVOKED}
        hidden |= set() if self.notes else {NoteKind.NOTE}
        return [kind.value for kind in NoteKind if kind not in hidden]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A page of the timeline; with the newest the live links, at most `MOST_LIVE`, and if there are more.

    `newest` is the last of the page's rows that say who and where somebody was, if there is one.
    """

    page: Page
    live: list[Connection] = field(default_factory=list)
    has_more_live: bool = False
    newest: Connection | Refusal | None = None


def story_of(user_id: str, sight: Sight, *, below: Place | None = None) -> Story:
    """What is known of that user, the newest entries first, or those below a place."""
    own = Connection.objects.filter(user_id=user_id)
    live, ended = (
        _live_and_ended(own) if below is None else ([], _some(own, "closed_at", Source.CLOSED, below))
    )
    links = _some(own, "opened_at", Source.OPENED, below)
    refusals = Refusal.objects.filter(user_id=user_id) if sight.refusals else Refusal.objects.none()
    turned_away = _some(refusals, "refused_at", Source.REFUSAL, below)
    events = LinkEvent.objects.filter(user_id=user_id).exclude(user_id="")
    notes = StaffNote.objects.filter(user_id__in=[user_id, ""], kind__in=sight.kinds())
    sources = [
        [closed(row) for row in ended],
        [opened(row) for row in links],
        [happened(row) for row in _some(events, "at", Source.LINK_EVENT, below)],
        [noted(row) for row in _some(notes, "at", Source.NOTE, below)],
        [refused(row) for row in turned_away],
    ]
    return Story(
        page=page_of(sources, most=PAGE_ENTRIES),
        live=sorted(live[:MOST_LIVE], key=lambda row: row.opened_at, reverse=True),
        has_more_live=len(live) > MOST_LIVE,
        newest=next(iter([*links, *turned_away]), None),
    )


def events_of(link: Connection) -> list[LinkEvent]:
    """All that there are of one link, the newest first."""
    return list(LinkEvent.objects.filter(connection_id=link.pk)[:MOST_OF_A_LINK])


def _live_and_ended(own: QuerySet[Connection]) -> tuple[list[Connection], list[Connection]]:
    """The live ones, one more than is shown at most, and the newest that have ended: one look at an index."""
    most = MOST_LIVE + PAGE_ENTRIES + 2
    rows = list(own.order_by(F("closed_at").desc(nulls_first=True), "-id")[:most])
    live = [row for row in rows if row.closed_at is None]
    if len(live) > MOST_LIVE:  # they may have left no room
        return live, _some(own, "closed_at", Source.CLOSED, None)
    return live, rows[len(live) :]


def _some(rows: QuerySet[Any], at: str, source: Source, below: Place | None) -> list[Any]:
    """The newest by the column `at`, one more than a page has, or those below a place."""
    if below is not None:
        rows = rows.filter(_below(at, below.bound(source)))
    elif source is Source.CLOSED:
        rows = rows.filter(closed_at__isnull=False)
    return list(rows.order_by(f"-{at}", "-id")[: PAGE_ENTRIES + 1])


def _below(at: str, bound: Bound) -> Q:
    if not bound.is_included:
        return Q(**{f"{at}__lt": bound.at})
    until = Q(**{f"{at}__lte": bound.at})  # a range of the index, which an OR alone is not
    return until if bound.id is None else until & (Q(**{f"{at}__lt": bound.at}) | Q(id__lt=bound.id))
