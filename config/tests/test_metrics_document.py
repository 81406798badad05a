"""docs/operations.md names every metric, its labels, and for what the server itself refuses."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from config.testing import documents
from proxy import metrics
from proxy.core.errors import Draining, Overloaded
from proxy.server.counting import Failure, Reason

PREFIX = "gateway_websocket_"


def test_every_metric_is_listed_with_its_labels_and_nothing_else() -> None:
    of_code = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (family,) = metric.describe()
            name = family.name.removeprefix(PREFIX) + ("_total" if family.type == "counter" else "")
            of_code[name.replace("connections_live", "connections")] = ", ".join(metric._labelnames)
    rows = documents.table(documents.read("operations.md"), "metric", "labels", "counts or measures")

    assert len(of_code) > 20
    assert {name: labels for name, labels, _ in rows} == of_code


def test_every_refusal_of_the_server_itself_is_listed_as_a_reason_and_nothing_else() -> None:
    rows = documents.table(documents.read("operations.md"), "reason", "refused")
    assert {reason for reason, _ in rows} == {*get_args(Reason), Draining.code, Overloaded.code}


def test_what_else_the_server_counts_is_named() -> None:
    document = documents.read("operations.md")
    assert [failure for failure in get_args(Failure) if f"`{failure}`" not in document] == []
