"""By whom, to what, what and when: the filters of the audit. They offer what its last rows have.

What is chosen is looked for in both at once (proxy/tables/audit.py): no filter does that by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
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
from proxy.models import Deed, ProgramDeed
from proxy.tables.audit import Asked

USERNAME = get_user_model().USERNAME_FIELD
_FLAGS = {"added": ADDITION, "changed": CHANGE, "deleted": DELETION}
_SPANS = {
    "hour": ("The last hour", timedelta(hours=1)),
    "day": ("The last 24 hours", timedelta(days=1)),
    "week": ("The last 7 days", timedelta(days=7)),
    "month": ("The last 30 days", timedelta(days=30)),
}


def asked(given: Mapping[str, str | None], *, text: str) -> Asked:
    """What was chosen, by the filters' names. Of what is no choice all is shown."""
    _, span = _SPANS.get(given.get("when") or "", ("", None))
    return Asked(
        who=given.get("who") or "",
        kind=given.get("what") or "",
        flag=_FLAGS.get(given.get("done") or ""),
        since=None if span is None else timezone.now() - span,
        text=text,
    )


class AuditFilter(ListFilter):
    """A choice, which `asked` reads."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset

    def has_output(self) -> bool:
        return True


class WhoFilter(AuditFilter):
    title = parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        names = {*_recent(request).names, self.value() or ""}
        return [(name, visible(name)) for name in sorted(names - {""})]


class KindFilter(AuditFilter):
    """Of what kind it was done to: `proxy.block`, say."""

    title = parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return sorted(_recent(request).kinds.items())


class DoneFilter(AuditFilter):
    title = parameter_name = "done"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("added", "Added"), ("changed", "Changed, kicked, drained …"), ("deleted", "Deleted")]


class WhenFilter(AuditFilter):
    title = parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, words) for name, (words, _) in _SPANS.items()]


@dataclass(frozen=True, slots=True)
class _Recent:
    """What the last rows have; any other value works in the URL. `kinds`: what each is called."""

    names: Set[str]
    kinds: Mapping[str, str]


def _recent(request: HttpRequest) -> _Recent:
    """Read once a page, with a query of either table."""
    known: _Recent | None = getattr(request, "_recent_deeds", None)
    if known is None:
        staff = {*Deed.objects.values_list(f"user__{USERNAME}", "content_type_id")[:RECENT_ROWS]}
        programs = {*ProgramDeed.objects.values_list("who", "kind")[:RECENT_ROWS]}
        kinds = [_kind(pk) for pk in {pk for _, pk in staff if pk is not None}]
        named = {f"{kind.app_label}.{kind.model}": kind.app_labeled_name for kind in kinds if kind}
        known = _Recent(
            names={name for name, _ in (*staff, *programs)} - {""},
            kinds={kind: kind for _, kind in programs} | named,
        )
        request._recent_deeds = known  # type: ignore[attr-defined]
    return known


def _kind(pk: int) -> ContentType | None:
    """Django keeps those it has read."""
    try:
        return ContentType.objects.get_for_id(pk)
    except ContentType.DoesNotExist:
        return None
