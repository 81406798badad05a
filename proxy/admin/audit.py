"""The audit: what staff did in admin and programs by keys, of rows that are gone, too; and it as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.views.defaults import bad_request

from proxy.admin import audit_filters
from proxy.admin.pages import BoundedPaginator, ReadOnlyAdmin, exact, foreign, foreign_field, moment, small
from proxy.core.csv_lines import csv_line
from proxy.models import Deed
from proxy.tables.audit import Asked, Entries, entry, page

MOST_EXPORTED = 100_000
_ROWS_AT_ONCE = 1_000
_DONE = {ADDITION: "Added.", CHANGE: "Changed.", DELETION: "Deleted."}
_COLUMNS = ("when", "who", "kind", "id", "what", "did", "count", "reason", "found_by")


class EntriesPaginator(BoundedPaginator):
    """Of the entries of both tables."""

    @cached_property
    def _counted(self) -> int:
        entries: Any = self.object_list
        return int(entries.counted(self.MOST_ROWS + 1))


class AuditList(ChangeList):
    """The list as Django has it, of the entries of two tables."""

    @property
    def asked(self) -> Asked:
        """What its filters and the search say."""
        specs: Any = self.filter_specs
        given = {each.parameter_name: each.value() for each in specs}
        return audit_filters.asked(given, text=self.query)

    def get_results(self, request: HttpRequest) -> None:
        entries: Any = Entries(self.asked)  # it has all that a paginator asks of a list
        paginator = EntriesPaginator(entries, self.list_per_page)
        if not 1 <= self.page_num <= paginator.num_pages:
            raise IncorrectLookupParameters
        self.paginator, self.result_count, self.full_result_count = paginator, paginator.count, None
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all, self.multi_page = False, paginator.num_pages > 1
        self.result_list = paginator.page(self.page_num).object_list


@admin.register(Deed)
class DeedAdmin(ReadOnlyAdmin):
    """The last first."""

    list_display = ["at", "who", "what", "did"]
    list_filter = [
        audit_filters.WhoFilter,
        audit_filters.KindFilter,
        audit_filters.DoneFilter,
        audit_filters.WhenFilter,
    ]
    sortable_by = ()
    search_fields = ["object_repr", "change_message", "object_id"]  # `Asked` looks in these, in both tables
    search_help_text = "What was done, with its reason, or to what: any part of it."
    fields = ["done_at", "who", "kind", "named", "shown_id", "row", "did"]
    named = foreign_field("object_repr", "To what")

    def get_urls(self) -> list[URLPattern]:
        export = path("export/", self.admin_site.admin_view(self.export), name="proxy_deed_export")
        return [export, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return AuditList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset, False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Deed | None:
        try:
            return entry(int(object_id))
        except (ValueError, OverflowError):
            return None

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """What the list has with the same filters, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found: Any = self.get_changelist_instance(request)
        except (DisallowedModelAdminLookup, IncorrectLookupParameters) as error:
            return bad_request(request, error)
        answer = StreamingHttpResponse(_lines(found.asked), content_type="text/csv; charset=utf-8")
        answer.headers["Content-Disposition"] = 'attachment; filename="audit.csv"'
        return answer

    @admin.display(description="When")
    def at(self, deed: Deed) -> str:
        return moment(deed.action_time)

    @admin.display(description="When")
    def done_at(self, deed: Deed) -> str:
        return format_html("{} ({})", exact(deed.action_time), moment(deed.action_time))

    @admin.display(description="Who")
    def who(self, deed: Deed) -> str:
        return foreign(deed.user.get_username())

    @admin.display(description="What")
    def what(self, deed: Deed) -> str:
        return format_html("{}{}", foreign(deed.object_repr), small(_kind(deed)))

    @admin.display(description="Kind")
    def kind(self, deed: Deed) -> str:
        return _kind(deed)

    @admin.display(description="Its id")
    def shown_id(self, deed: Deed) -> str:
        return foreign(deed.object_id or "")

    @admin.display(description="Its page")
    def row(self, deed: Deed) -> str:
        url = deed.get_admin_url() if deed.action_flag != DELETION and deed.object_id else None
        return format_html('<a href="{}">open, if it is still there</a>', url) if url else "-"

    @admin.display(description="Did")
    def did(self, deed: Deed) -> str:
        return foreign(_did(deed))


def _kind(deed: Deed) -> str:
    return deed.content_type.name if deed.content_type else deed.kind


def _did(deed: Deed) -> str:
    return deed.get_change_message() or _DONE.get(deed.action_flag, "")


async def _lines(asked: Asked) -> AsyncIterator[str]:
    """A heading, then the rows, some at a time: nobody waits for the last, and nothing holds them all."""
    yield csv_line(_COLUMNS)
    left, below = MOST_EXPORTED, None
    while left > 0:
        some = await sync_to_async(page)(asked, below=below, most=min(_ROWS_AT_ONCE, left))
        yield "".join(csv_line(_cells(deed)) for deed in some.entries)
        left, below = left - len(some.entries), some.older
        if below is None:
            return


def _cells(deed: Deed) -> list[str]:
    at = deed.action_time.isoformat(timespec="seconds")
    row = (deed.object_id or "", deed.object_repr)
    details = ("" if deed.count is None else str(deed.count), deed.reason, deed.found_by)
    return [at, deed.user.get_username(), _kind(deed), *row, _did(deed), *details]
