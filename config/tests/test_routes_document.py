"""docs/routes.md: it names all that a route may say."""

from __future__ import annotations

import dataclasses

import pytest

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.starts import BASE_DIR
from proxy.core.routes import Route

DOCUMENT = documents.read("routes.md")


def test_every_field_of_a_route_is_named() -> None:
    rows = table(DOCUMENT, "field", "says")
    named = [name for names, _ in rows for name in names.split(", ")]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(Route))


@pytest.mark.parametrize(
    ("kind", "tried"), [("policy", "policed.py"), ("authenticate", "tickets.py"), ("leg", "tickets.py")]
)
def test_what_it_shows_is_what_is_tried(kind: str, tried: str) -> None:
    (shown,) = (example.text for example in examples(DOCUMENT) if example.kind == kind)
    assert shown in (BASE_DIR / "config/tests/contract" / tried).read_text()
