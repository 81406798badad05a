"""What a node reports of its pools' members."""

from __future__ import annotations

import pytest
from django.utils import timezone

from proxy.models import MemberReport
from proxy.tables.member_rows import write_reports

pytestmark = pytest.mark.usefixtures("any_database")


def written(state: str, *, links: int = 0) -> MemberReport:
    row = MemberReport(
        node_id="n", pool="studio", url="ws://one:9000", state=state, breaker="closed", links=links
    )
    row.updated_at = timezone.now()
    write_reports([row])
    return MemberReport.objects.get()


def test_a_report_says_since_when_its_state_is_so() -> None:
    first = written("available")
    assert first.since is not None
    assert written("available", links=7).since == first.since
    down = written("unhealthy")
    assert down.since is not None
    assert down.since > first.since
    assert written("unhealthy").since == down.since


def test_a_row_of_the_release_before_gets_its_time_with_the_next_report() -> None:
    written("available")
    MemberReport.objects.update(since=None)
    assert written("available").since is not None
