"""Lines of a timeline as a page shows them: what they lead to, and which may be deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.admin.utils import quote
from django.urls import reverse

from proxy.core.people import Entry, Source

_PAGES = {
    Source.REFUSAL: "admin:proxy_refusal_change",
    Source.OPENED: "admin:proxy_connection_change",
    Source.CLOSED: "admin:proxy_connection_change",
    Source.LINK_EVENT: "admin:proxy_connection_change",
}


@dataclass(frozen=True, slots=True)
class Line:
    """`url` is that of the page which has it in full, "" where there is none."""

    entry: Entry
    url: str

    @property
    def key(self) -> str:
        """By which the page knows the line again."""
        return f"{self.entry.place.source.value}~{self.entry.place.id}"

    @property
    def note_id(self) -> str:
        """Of what staff wrote by hand."""
        return self.entry.row_id if self.entry.place.source is Source.NOTE else ""


def lines_of(entries: Iterable[Entry]) -> list[Line]:
    """As they come."""
    return [Line(entry, _url(entry)) for entry in entries]


def _url(entry: Entry) -> str:
    page = _PAGES.get(entry.place.source)
    return reverse(page, args=[quote(entry.row_id)]) if page and entry.row_id else ""
