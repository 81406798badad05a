"""The pools as staff see them: members from settings and rows, and what every running node reports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from proxy import registry
from proxy.core.routes import MemberSpec, Upstream
from proxy.models import MemberReport, PoolMember
from proxy.tables.heart import running_nodes
from proxy.tables.member_rows import FAILING, NOT_TRIED

# The worst first: what one node sees is what staff should see. Who has not tried yet sees nothing.
_WORST_FIRST = ("unhealthy", "broken", FAILING, "full", "available", NOT_TRIED)
_CSS = {
    "available": "gateway-live",
    "unhealthy": "gateway-down",
    "broken": "gateway-down",
    FAILING: "gateway-down",
}


@dataclass(slots=True)
class MemberView:
    """One member over all nodes. `row_id` None: it is declared in settings."""

    url: str
    weight: int = 1
    max_connections: int | None = None
    draining: bool = False
    removed: bool = False
    row_id: int | None = None
    reports: list[MemberReport] = field(default_factory=list)

    @property
    def links(self) -> int:
        return sum(report.links for report in self.reports)

    @property
    def state(self) -> str:
        """What nodes say; where some have not yet heard what is asked of them, what that is."""
        asked = self.removed or self.draining
        states = {report.state for report in self.reports}
        if asked:
            return "draining" if states <= {"draining"} else "told to drain"
        if "draining" in states:
            return "told to come back"
        return next((state for state in _WORST_FIRST if state in states), "not seen yet")

    @property
    def css_class(self) -> str:
        return _CSS.get(self.state, "gateway-late")

    @property
    def is_down(self) -> bool:
        return self.css_class == "gateway-down"

    @property
    def down_since(self) -> datetime | None:
        """Since when the first node that sees it down does; None where no node says."""
        down = (report for report in self.reports if _CSS.get(report.state) == "gateway-down")
        return min((report.since for report in down if report.since is not None), default=None)

    @property
    def takes_new_links(self) -> bool:
        """Whether some node may send it a newcomer, as far as nodes have said."""
        states = {report.state for report in self.reports}
        return not (self.removed or self.draining) and bool(states & {"available", NOT_TRIED})

    @property
    def dial_ms(self) -> float | None:
        """The slowest node's average."""
        return max((report.dial_ms for report in self.reports if report.dial_ms is not None), default=None)

    @property
    def last_error(self) -> str:
        """The newest of those that some node still sees."""
        errors = [report for report in self.reports if report.last_error]
        return max(errors, key=lambda report: report.updated_at).last_error if errors else ""


@dataclass(frozen=True, slots=True)
class PoolView:
    name: str
    from_settings: bool
    editable: bool
    members: list[MemberView]


def pool_views() -> list[PoolView]:
    """All pools, in two queries."""
    reports = list(MemberReport.objects.filter(node__in=running_nodes()).select_related("node"))
    rows = list(PoolMember.objects.all())
    return [_view(upstream, rows, reports) for upstream in registry.upstreams()]


def replaced_members() -> dict[str, list[str]]:
    """By pool, the URLs of rows that stand in place of what settings declare."""
    replaced = {}
    for upstream in registry.upstreams():
        urls = list(PoolMember.objects.filter(pool=upstream.name).values_list("url", flat=True))
        if upstream.editable and upstream.is_replaced_by(urls):
            replaced[upstream.name] = urls
    return replaced


def empty_pools() -> list[str]:
    """The pools that have no member, neither from settings nor from a row."""
    filled = set(PoolMember.objects.values_list("pool", flat=True))
    return [each.name for each in registry.upstreams() if not each.members and each.name not in filled]


def editable_pools() -> list[str]:
    """The pools whose members staff may add, weigh, drain and remove."""
    return sorted(upstream.name for upstream in registry.upstreams() if upstream.editable)


def _view(upstream: Upstream, rows: Iterable[PoolMember], reports: Iterable[MemberReport]) -> PoolView:
    own = [row for row in rows if upstream.editable and row.pool == upstream.name]
    members = {row.url: _of_row(row) for row in own} if own else _of_specs(upstream.declared())
    for report in reports:
        if report.pool == upstream.name:
            member = members.setdefault(report.url, MemberView(report.url, removed=True))
            member.reports.append(report)
    listed = sorted(members.values(), key=lambda member: (member.removed, member.url))
    return PoolView(upstream.name, not own, upstream.editable, listed)


def _of_row(row: PoolMember) -> MemberView:
    return MemberView(row.url, row.weight, row.max_connections, row.draining, row_id=row.pk)


def _of_specs(specs: Iterable[MemberSpec]) -> dict[str, MemberView]:
    return {spec.url: MemberView(spec.url, spec.weight, spec.max_connections) for spec in specs}


@transaction.atomic
def adopt(pool: str, *, but: str = "") -> None:
    """Write the members that settings declare as rows, if there are none: from now on rows count.

    `but` is the URL of one that the caller writes. Who comes second of two at a time changes nothing.
    """
    if pool not in editable_pools() or PoolMember.objects.filter(pool=pool).exists():
        return
    declared = next(upstream.declared() for upstream in registry.upstreams() if upstream.name == pool)
    rows = [
        PoolMember(pool=pool, url=spec.url, weight=spec.weight, max_connections=spec.max_connections)
        for spec in declared
        if spec.url != but
    ]
    PoolMember.objects.bulk_create(rows, ignore_conflicts=True)


@transaction.atomic
def set_draining(pool: str, url: str, *, draining: bool, move_seconds: int | None = None) -> PoolMember:
    """Drain a member on every node, or bring it back. Raises PoolMember.DoesNotExist."""
    adopt(pool)
    member = PoolMember.objects.get(pool=pool, url=url)
    member.draining, member.move_seconds = draining, move_seconds if draining else None
    member.save()
    return member
