"""A node keeps to what products rule of topics, whatever becomes of the product's own code."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from django.db import OperationalError

from proxy.cluster import topic_rules
from proxy.cluster.tests.ends import link
from proxy.cluster.topic_rules import TopicWatch, tell_topic_rules
from proxy.core.closes import ClosedBy
from proxy.core.topic_rules import ClosedForMaintenance, TopicRule
from proxy.tables.executor import DatabaseExecutor

pytestmark = pytest.mark.usefixtures("any_database")
MILL = "experience:mill"


class Product:
    """Answers rules, or fails."""

    def __init__(self) -> None:
        self.says: Any = []

    def __call__(self) -> Any:
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def product(monkeypatch: pytest.MonkeyPatch) -> Product:
    monkeypatch.setattr(topic_rules, "_told", {})
    product = Product()
    tell_topic_rules("test", product)
    return product


def watch(executor: DatabaseExecutor, *links: Any) -> tuple[TopicWatch, Mock]:
    hold = Mock()
    return TopicWatch(executor, links=lambda: links, hold=hold), hold


def test_two_products_do_not_tell_by_one_name(product: Product) -> None:
    tell_topic_rules("test", product)
    with pytest.raises(ValueError, match="'test'"):
        tell_topic_rules("test", Product())


async def test_a_topic_that_is_closed_ends_its_links_if_it_is_said_so(
    executor: DatabaseExecutor, product: Product
) -> None:
    there, ended = link("a", "ada", topics=(MILL,))
    other, others = link("b", "bob", topics=("experience:mine",))
    topics, _ = watch(executor, there, other)
    product.says = [TopicRule(topic=MILL, closed="back at nine")]
    await topics.look()
    with pytest.raises(ClosedForMaintenance, match=MILL) as refused:
        topics.check((MILL,))
    assert refused.value.message == "back at nine"
    topics.check(("experience:mine",))
    assert ended.ends == others.ends == []

    product.says = [TopicRule(topic=MILL, closed="back at nine", ends_links=True)]
    await topics.look()
    assert ended.ends == [(1001, "closed for maintenance", ClosedBy.STAFF)]
    assert others.ends == []

    product.says = []
    await topics.look()
    topics.check((MILL,))


async def test_who_is_there_when_a_topic_gets_a_bound_is_counted(
    executor: DatabaseExecutor, product: Product
) -> None:
    there, _ = link("a", "ada", topics=(MILL,))
    other, _ = link("b", "bob", topics=("experience:mine",))
    topics, hold = watch(executor, there, other)
    product.says = [TopicRule(topic=MILL, most_links=3)]
    await topics.look()
    hold.assert_called_once_with(there.id, {MILL: 3})
    await topics.look()
    hold.assert_called_once()
    assert topics.capacities((MILL, "everyone")) == {MILL: 3}


@pytest.mark.parametrize("failure", [KeyError("a bug"), ["no rule"], None], ids=repr)
async def test_the_last_rules_hold_while_a_product_cannot_say_any_and_it_is_logged_once(
    executor: DatabaseExecutor, product: Product, caplog: pytest.LogCaptureFixture, failure: Any
) -> None:
    topics, _ = watch(executor)
    product.says = [TopicRule(topic=MILL, closed="")]
    await topics.look()
    product.says = failure
    for _ in range(3):
        await topics.look()
    assert len(caplog.records) == 1
    with pytest.raises(ClosedForMaintenance):
        topics.check((MILL,))
    product.says = []
    await topics.look()
    topics.check((MILL,))


async def test_a_database_that_is_away_is_no_failure_of_the_product(
    executor: DatabaseExecutor, product: Product
) -> None:
    topics, _ = watch(executor)
    product.says = OperationalError("away")
    with pytest.raises(OperationalError):
        await topics.look()
