"""What staff wrote down holds on every node, whoever wrote it, and however badly."""

from __future__ import annotations

import pytest

from proxy.cluster.rules import StaffRules, load_rules
from proxy.core.errors import Blocked
from proxy.models import Block
from proxy.tables.executor import DatabaseExecutor


@pytest.mark.django_db
def test_a_row_that_no_form_has_checked_switches_off_no_other_block(caplog: pytest.LogCaptureFixture) -> None:
    Block.objects.create(network="300.1.2.3")
    Block.objects.create(user_id="mallory")
    rules = StaffRules(DatabaseExecutor(), links=tuple, pools=())
    rules._block(load_rules())
    with pytest.raises(Blocked):
        rules.check(user_id="mallory", address="192.0.2.1")
    rules.check(user_id="ada", address="192.0.2.1")
    assert "left out" in caplog.text
