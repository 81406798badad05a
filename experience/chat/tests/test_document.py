"""docs/chat-protocol.md: its tables and examples are what the code reads."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.starts import BASE_DIR
from experience.chat import counts, messages, service_counts
from experience.chat.messages import decode_client, decode_service

DOCUMENT = documents.read("chat-protocol.md")
SAID, HEARD = (DOCUMENT.partition("## What a client hears")[n] for n in (0, 2))


def fields_by_type(union: object) -> dict[str, set[str]]:
    found = {}
    for kind in get_args(union):
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        found[str(kind.__struct_config__.tag)] = fields
    return found


def documented(text: str) -> dict[str, set[str]]:
    """By type the names in the second cell, of messages that have fields."""
    found = {}
    for line in text.splitlines():
        cells = re.match(r"\| `([a-z]+\.[a-z]+)` \| (.*) \|$", line)
        if cells is not None:
            found[cells[1]] = set(re.findall(r"`([a-z_]+)`", cells[2]))
    return found


def test_every_message_of_a_client_is_in_the_table_with_its_fields() -> None:
    code = {name: fields for name, fields in fields_by_type(messages.ClientMessage).items() if fields}
    assert {name: fields - {"on", "off"} for name, fields in documented(SAID).items()} == code


def test_every_message_of_the_service_is_in_the_table_with_its_fields() -> None:
    code = fields_by_type(messages.ServiceMessage)
    of_message = {field.encode_name for field in msgspec.structs.fields(messages.StoredMessage)}
    code["message.created"] |= of_message
    assert documented(HEARD) == {name: fields for name, fields in code.items() if "." in name}


def test_the_examples_are_let_through() -> None:
    for example in examples(DOCUMENT):
        if example.language == "json":
            decode = decode_client if example.kind == "client" else decode_service
            assert decode(json.dumps(example.fields()).encode()) is not None


def test_the_filter_that_is_shown_is_the_one_that_is_tried() -> None:
    (shown,) = (example.text for example in examples(DOCUMENT) if example.kind == "filter")
    own, _, _ = shown.partition("\n\n\n")
    assert own in (BASE_DIR / "experience/chat/tests/test_policy.py").read_text()


@pytest.mark.parametrize(
    ("document", "title", "module"),
    [("chat-protocol.md", "counts", counts), ("chat-service.md", "counts or measures", service_counts)],
)
def test_every_metric_is_listed_with_its_labels(document: str, title: str, module: ModuleType) -> None:
    rows = table(documents.read(document), "metric", "labels", title)
    of_code = {}
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = family.name + ("_total" if family.type == "counter" else "")
            of_code[name] = ", ".join(metric._labelnames)
    assert {name: labels for name, labels, _ in rows} == of_code
