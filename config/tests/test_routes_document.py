"""docs/routes.md: it names all that a route may say."""

from __future__ import annotations

import dataclasses

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.starts import BASE_DIR
from proxy.core.routes import Route

DOCUMENT = documents.read("routes.md")


def test_every_field_of_a_route_is_named() -> None:
    rows = table(DOCUMENT, "field", "says")
    named = [name for names, _ in rows for name in names.split(", ")]
    assert sorted(named) == sorted(field.name for field in dataclasses.fields(Route))


def test_the_policy_that_it_shows_is_the_one_that_is_tried() -> None:
    (shown,) = (example.text for example in examples(DOCUMENT) if example.kind == "policy")
    assert shown in (BASE_DIR / "config/tests/contract/policed.py").read_text()
