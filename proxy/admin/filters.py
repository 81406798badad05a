"""Filters of the lists. None of them reads the whole table to learn what it could offer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from proxy.core.causes import WORDS, Cause, refused_words_of
from proxy.core.human import visible
from proxy.models import CLOSED_BY, Connection, Node
from proxy.tables.node_names import ids_called

RECENT_ROWS = 2_000
MOST_CHOICES = 50


class ListFilter(admin.SimpleListFilter):
    """A menu above the list: what is chosen shows, the choices open."""


class UserFilter(ListFilter):
    """One user's rows alone, while a search finds all whose ids begin so. Offered once it is asked for."""

    title = parameter_name = "user"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(self.value() or "", visible(self.value() or ""))] if self.value() else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(user_id=self.value()) if self.value() else queryset


class LiveFilter(ListFilter):
    title = "state"
    parameter_name = "live"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("yes", "Live"), ("no", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        if self.value() == "yes":
            return queryset.filter(closed_at=None)
        return queryset.exclude(closed_at=None) if self.value() == "no" else queryset


class RecentValuesFilter(ListFilter):
    """Offers the values that the first rows of the list have; any other works in the URL."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        counted = Counter(row[str(self.parameter_name)] for row in _recent_rows(request, model_admin))
        del counted[""]
        # A session is a topic of its own: those of many links are not to be lost among them.
        values = {value for value, _ in counted.most_common(MOST_CHOICES)}
        return [(value, value) for value in sorted(values | ({self.value() or ""} - {""}))]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        is_it = Q(**{str(self.parameter_name): self.value()})
        return queryset.filter(_live_or_ended(is_it) if queryset.model is Connection else is_it)


class RouteFilter(RecentValuesFilter):
    title = parameter_name = "route"


class TopicFilter(RecentValuesFilter):
    title = parameter_name = "topic"


class NodeFilter(ListFilter):
    """Offers the nodes that run: each restart leaves one that has stopped. Any other works in the URL."""

    title = "node"
    parameter_name = "node"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        shown = Node.objects.filter(Q(stopped_at=None) | Q(pk__in=self._ids)).order_by("-heartbeat_at")
        choices = [
            (node.pk, f"{node}{' (stopped)' if node.stopped_at else ''}") for node in shown[:MOST_CHOICES]
        ]
        unknown = self.value() and self.value() not in dict(choices)
        return [*choices, (str(self.value()), str(self.value()))] if unknown else choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        return queryset.filter(node_id__in=self._ids) if self.value() else queryset

    @cached_property
    def _ids(self) -> list[str]:
        """Of a link to the list from elsewhere it may be the name that staff see."""
        return ids_called(str(self.value())) if self.value() else []


class RunningFilter(ListFilter):
    """Running nodes unless others are asked for or searched: each restart leaves one that has stopped."""

    title = "state"
    parameter_name = "nodes"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("stopped", "Stopped"), ("all", "All")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        default, *others = super().choices(changelist)
        yield {**default, "display": "All that are found" if changelist.query else "Running"}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> QuerySet[Node]:
        if self.value() == "all" or (self.value() is None and request.GET.get(SEARCH_VAR)):
            return queryset
        return queryset.filter(stopped_at__isnull=self.value() != "stopped")


class CauseFilter(ListFilter):
    """Why connections have ended: all causes there are, since live ones, which come first, have none."""

    title = parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        own = [(cause.value, WORDS[cause]) for cause in Cause]
        other = self.value() and self.value() not in set(Cause)
        return [*own, (str(self.value()), str(self.value()))] if other else own

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        """Closed ones, as those with a cause are: else PostgreSQL does not take the index for it."""
        return queryset.filter(cause=self.value(), closed_at__isnull=False) if self.value() else queryset


class RefusalCauseFilter(RecentValuesFilter):
    title = parameter_name = "cause"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(value, refused_words_of(value)) for value, _ in super().lookups(request, model_admin)]


class ClosedByFilter(ListFilter):
    title = "closed by"
    parameter_name = "closed_by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return CLOSED_BY

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        """Closed ones, as with causes."""
        return queryset.filter(closed_by=self.value(), closed_at__isnull=False) if self.value() else queryset


def _live_or_ended(is_it: Q) -> Q:
    """The same rows, said so that PostgreSQL finds few of many: live and ended ones have indexes apart."""
    return (is_it & Q(closed_at=None)) | (is_it & Q(closed_at__isnull=False))


def _recent_rows(request: HttpRequest, model_admin: Any) -> list[dict[str, str]]:
    """What the filters of this kind offer, of each of the first rows of the list, read once a page."""
    known: list[dict[str, str]] | None = getattr(request, "_recent_rows", None)
    if known is None:
        fields = [
            each.parameter_name for each in model_admin.list_filter if issubclass(each, RecentValuesFilter)
        ]
        known = list(model_admin.model.objects.values(*fields)[:RECENT_ROWS])
        request._recent_rows = known  # type: ignore[attr-defined]
    return known
