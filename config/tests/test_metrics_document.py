"""docs/operations.md names every metric, its labels, and for what the server itself refuses."""

from __future__ import annotations

import re

from prometheus_client import Counter, Gauge, Histogram

from config.testing import documents
from config.testing.program import BASE_DIR
from proxy import metrics
from proxy.core.errors import Draining, Overloaded
from proxy.server.options import COUNTED

PREFIX = "gateway_websocket_"
REFUSALS = {word for word in COUNTED if word.startswith("refused_") or word == "handshake_timeout"}


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
    assert {reason for reason, _ in rows} == {word.removeprefix("refused_") for word in REFUSALS}


def test_what_else_the_server_counts_is_named() -> None:
    document = documents.read("operations.md")
    assert [word for word in COUNTED if word not in REFUSALS and f"`{word}`" not in document] == []


def test_the_server_counts_no_refusal_that_is_not_on_its_list() -> None:
    sources = (path for path in (BASE_DIR / "proxy/server").glob("*.py") if path.name != "options.py")
    words = re.compile(r'"(refused_\w+|handshake_timeout)"')
    used = {word for path in sources for word in words.findall(path.read_text())}
    used |= {f"refused_{error.code}" for error in (Draining, Overloaded)}  # what Node._refusal() knows
    assert used == REFUSALS
