"""A node is found by whatever staff see it called, wherever a node is asked for."""

from __future__ import annotations

import pytest
from django.utils import timezone

from proxy.tables.node_names import by_columns, ids_called, running_called
from proxy.tests.rows import add_node

pytestmark = pytest.mark.django_db


def test_a_name_is_of_every_node_that_had_it_and_an_id_of_one() -> None:
    add_node("n1")
    add_node("n2", stopped_at=timezone.now())
    assert sorted(ids_called("box:7")) == ["n1", "n2"]
    assert [node.pk for node in running_called("box:7")] == ["n1"]
    assert [node.pk for node in running_called("n1")] == ["n1"]
    assert running_called("n2") == []
    assert ids_called("n2") == ["n2"]


@pytest.mark.parametrize(
    "name", ["box:8", "bax:7", "box:", ":7", "box", "", "box:7x", "box:" + "9" * 30, "a:b:c"]
)
def test_what_no_node_is_called_is_an_id_that_may_have_no_row(name: str) -> None:
    add_node("n1")
    assert ids_called(name) == [name]
    assert running_called(name) == []


def test_only_the_node_of_a_filter_is_looked_up() -> None:
    add_node("n1")
    assert by_columns({"route": "box:7", "node_id": "box:7"}) == {"route": "box:7", "node_id__in": ["n1"]}
    assert by_columns({"route": "game"}) == {"route": "game"}
