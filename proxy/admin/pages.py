"""What the admin pages share: requests that are checked, read-only rows, lists that stay quick."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import IntegrityError
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.text import capfirst
from django.views.defaults import bad_request

from proxy.core.human import duration, visible
from proxy.tables.counting import MOST_COUNTED
from proxy.tables.deeds import Details, note_details


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `MOST_ROWS`: a count of a million rows would cost more than the page."""

    MOST_ROWS = MOST_COUNTED

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

    @property
    def counted(self) -> str:
        """`34`, or `10,000+` where counting stopped."""
        return f"{self.pageable}+" if self.is_bounded else self.pageable

    @property
    def pageable(self) -> str:
        return f"{self.count:,}"


class SortsWhatMaySort(ChangeList):
    """A list whose columns may be sorted by at times is in its own order at others, whatever its URL says."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        if self.sortable_by is not None and not self.sortable_by:
            self.params.pop(ORDER_VAR, None)  # the heads of the columns read it, too
        return list(super().get_ordering(request, queryset))


class CheckedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What a request names is checked before the database is asked; Django's own pages answer 500 to some.

    Its list keeps itself current, and says how old it is (`templates/admin/change_list.html`).
    """

    paginator = BoundedPaginator

    class Media:
        css = {"all": ["proxy/admin.css"]}
        js = [Script("proxy/live.js", type="module"), Script("proxy/menus.js", type="module")]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the list's filters put into its URLs: Django would take `?email__regex=(` as well."""
        asked: set[object] = set()
        for each in self.get_list_filter(request):
            if isinstance(each, str):
                asked |= {f"{each}__exact", f"{each}__isnull", f"{each}__id__exact"}
            else:
                asked.add(getattr(each, "parameter_name", None))
        return lookup in asked

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """As Django's; called by what it lists, and a filter that it has not is a 400, with DEBUG, too."""
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        try:
            return super().changelist_view(request, title | (extra_context or {}))
        except DisallowedModelAdminLookup as error:
            return bad_request(request, error)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """With the row's `reason`, and how many it `hit`, if it has them: the entry's text is for people."""
        return _with_reason(super().log_addition(request, obj, message), obj)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return _with_reason(super().log_change(request, obj, message), obj)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return super().get_object(request, object_id, from_field or None)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As Django's; of two who save the same at a time, the second is told."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except IntegrityError:
            self.message_user(
                request, "Somebody has just saved the same. Nothing was changed.", messages.WARNING
            )
            return HttpResponseRedirect(
                reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
            )

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:  # type: ignore[override]
        """As Django's; ids that can be none of this table's find nothing."""
        try:
            for selected in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(selected)
        except ValidationError:
            self.message_user(request, "There are no such rows.", messages.WARNING)
            return None
        return super().response_action(request, queryset)


def _with_reason(entry: Any, row: Any) -> Any:
    note_details(entry, Details(count=getattr(row, "hit", None), reason=getattr(row, "reason", "")))
    return entry


class ReadOnlyAdmin(CheckedAdmin):
    """A record: nobody adds, changes or deletes its rows here.

    `links` are fields that lead to another page, each with the permission to see that, and the field that
    stands there for who has it not.
    """

    links: ClassVar[Mapping[str, tuple[str, str]]] = {}
    show_full_result_count = False
    list_per_page = 100
    list_max_show_all = 100
    show_facets = admin.ShowFacets.NEVER  # a count for every choice of every filter

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SortsWhatMaySort

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._shown(request, super().get_list_display(request))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return [
            (title, {**options, "fields": self._shown(request, options["fields"])})
            for title, options in fieldsets
        ]

    def _shown(self, request: HttpRequest, names: Iterable[Any]) -> list[Any]:
        hidden = {
            name: instead
            for name, (needed, instead) in self.links.items()
            if not request.user.has_perm(needed)
        }
        return [hidden.get(name, name) for name in names]

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


def exact(at: datetime) -> str:
    """A time in full, in the time zone of the site."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S %Z")


def foreign(text: str, *, otherwise: str = "-") -> str:
    """Text that a client or a token chose: its direction is its own, and a list shows two lines of it."""
    return format_html('<bdi class="gateway-foreign" title="{0}">{0}</bdi>', visible(text) or otherwise)


def small(text: str) -> str:
    """Foreign text below another in a list's cell; nothing for ""."""
    return format_html('<small class="quiet">{}</small>', foreign(text)) if text else ""


def name_date_and_time(field: forms.Field, name: str) -> None:
    """Django's two boxes of a moment have one label, which is that of neither."""
    for part, widget in zip(("date", "time"), field.widget.widgets, strict=True):
        widget.attrs["aria-label"] = f"{name}, {part}"


def foreign_field(name: str, description: str) -> Any:
    """A read-only field of the model, shown as `foreign`."""

    @admin.display(description=description)
    def show(self: Any, row: Any) -> str:
        return foreign(getattr(row, name))

    return show
