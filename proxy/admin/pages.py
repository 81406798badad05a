"""What the record's admin pages share: read-only rows, and lists that stay quick however long they get."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html

from proxy.core.human import duration


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `MOST_ROWS`: a count of a million rows would cost more than the page."""

    MOST_ROWS = 10_000

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[: self.MOST_ROWS + 1].count()
        return counted

    @property
    def is_bounded(self) -> bool:
        """True when there is more than can be paged to."""
        return self._counted > self.MOST_ROWS

    @property
    def count(self) -> int:
        return min(self._counted, self.MOST_ROWS)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A record: nobody adds, changes or deletes its rows here."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 100
    list_max_show_all = 100
    show_facets = admin.ShowFacets.NEVER  # a count for every choice of every filter

    class Media:
        css = {"all": ["proxy/admin.css"]}
        js = ["proxy/live.js"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def moment(at: datetime | None) -> str:
    """A time that says how long ago it was; the exact time is its title."""
    if at is None:
        return "-"
    ago = duration((timezone.now() - at).total_seconds())
    return format_html('<time datetime="{0}" title="{0}">{1} ago</time>', at.isoformat(" ", "seconds"), ago)
