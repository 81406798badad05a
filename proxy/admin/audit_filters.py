"""By whom, to what, what and when: the filters of the audit. They offer what its last rows have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from proxy.admin.filters import RECENT_ROWS, ListFilter
from proxy.core.human import visible
from proxy.models import Deed

_FLAGS = {"added": ADDITION, "changed": CHANGE, "deleted": DELETION}
_SPANS = {
    "hour": ("The last hour", timedelta(hours=1)),
    "day": ("The last 24 hours", timedelta(days=1)),
    "week": ("The last 7 days", timedelta(days=7)),
    "month": ("The last 30 days", timedelta(days=30)),
}


class WhoFilter(ListFilter):
    title = parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        users = get_user_model().objects.filter(pk__in=_recent("user_id"))
        names = {*users.values_list("username", flat=True)} | ({self.value() or ""} - {""})
        return [(name, visible(name)) for name in sorted(names)]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(user__username=self.value()) if self.value() else queryset


class KindFilter(ListFilter):
    """Of what kind it was done to: `proxy.block`, say."""

    title = parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        kinds = ContentType.objects.filter(pk__in=_recent("content_type_id"))
        return sorted((f"{kind.app_label}.{kind.model}", kind.app_labeled_name) for kind in kinds)

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        label, _, model = (self.value() or "").partition(".")
        if not self.value():
            return queryset
        return queryset.filter(content_type__app_label=label, content_type__model=model)


class DoneFilter(ListFilter):
    title = parameter_name = "done"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("added", "Added"), ("changed", "Changed, kicked, drained …"), ("deleted", "Deleted")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        flag = _FLAGS.get(self.value() or "")
        return queryset if flag is None else queryset.filter(action_flag=flag)


class WhenFilter(ListFilter):
    title = parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, words) for name, (words, _) in _SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        _, span = _SPANS.get(self.value() or "", ("", None))
        return queryset if span is None else queryset.filter(action_time__gte=timezone.now() - span)


def _recent(field: str) -> set[Any]:
    """What the last rows have there; any other value works in the URL."""
    return {*Deed.objects.values_list(field, flat=True)[:RECENT_ROWS]} - {None}
