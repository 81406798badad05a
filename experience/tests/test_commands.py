"""Experiences from a shell: what is said of them, by whom it is noted, and what is not taken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.core.management import load_command_class
from django.core.management.base import BaseCommand

from experience.models import Experience
from experience.rules import rules
from proxy.core.topic_rules import TopicRule
from proxy.management.tests.playing import keys_of, play
from proxy.models import ProgramDeed
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
NAMES = ("experiences", "disable_experience", "enable_experience", "change_experience")
WHY = ("--reason", "a new release")
TOPIC = "experience:old-mill"


def told(**values: Any) -> dict[str, Any]:
    row = {"slug": "old-mill", "title": "", "enabled": True, "ends_links": False, "maintenance_message": ""}
    return {**row, "capacity": None, "links": 1, "is_bounded": False, **values}


@pytest.fixture(autouse=True)
def link() -> None:
    add_connection("a", topic=TOPIC)


def said() -> list[tuple[str, str, str]]:
    return [(deed.about, deed.said, deed.reason) for deed in ProgramDeed.objects.order_by("pk")]


def test_an_experience_without_a_row_is_closed_and_opened_again() -> None:
    close = ("disable_experience", "old-mill", "--message", "Back at nine.", "--close-links", *WHY)
    assert play(*close, "--json").failure == "not_tried"
    assert not Experience.objects.exists()

    closed = told(enabled=False, ends_links=True, maintenance_message="Back at nine.")
    assert play(*close, "--yes", "--json").told == closed
    assert [*rules()] == [TopicRule(topic=TOPIC, closed="Back at nine.", ends_links=True)]
    assert play("experiences", "--closed", "--json").told == [closed]
    assert re.search(r"old-mill +closed, links end +1 +any +Back at nine\.", play("experiences").out)

    opened = told(maintenance_message="Back at nine.")
    assert play("enable_experience", "old-mill", *WHY, "--json").told == opened
    assert play("experiences", "--closed").out == "none is closed\n"
    assert said() == [
        ("old-mill", f"{did}: a new release", "a new release")
        for did in ("Disabled, with 1 live link, which are closed", "Enabled")
    ]


def test_links_that_stay_are_not_asked_about() -> None:
    played = play("disable_experience", "old-mill", *WHY)
    assert (played.code, played.out) == (0, "old-mill is closed; live links stay (1 live link)\n")
    assert Experience.objects.get().enabled is False


def test_it_is_bounded_and_named_and_its_bound_is_taken_back() -> None:
    change = ("change_experience", "old-mill", *WHY, "--json")
    assert play(*change, "--capacity", "3", "--title", "The mill").told == told(capacity=3, title="The mill")
    assert [*rules()] == [TopicRule(topic=TOPIC, most_links=3)]
    assert play(*change, "--capacity", "any").told == told(title="The mill")
    assert [*rules()] == []
    assert [each[1] for each in said()] == [
        "Changed capacity 3, title The mill: a new release",
        "Changed capacity none: a new release",
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("disable_experience", "old-mill"), 2, "--reason"),
        (("disable_experience", " old-mill", *WHY), 2, "without blanks"),
        (("disable_experience", "x" * 118, *WHY), 2, "at most 117"),
        (("disable_experience", "a", "--message", "x" * 501, *WHY), 2, "at most"),
        (("enable_experience", "old-mill", *WHY), 1, "it is open"),
        (("change_experience", "old-mill", *WHY), 2, "say what is to change"),
        (("change_experience", "old-mill", "--capacity", "0", *WHY), 2, "a number from 1"),
    ],
)
def test_what_cannot_be_meant_is_told_and_changes_nothing(
    words: tuple[str, ...], code: int, says: str
) -> None:
    played = play(*words)
    assert played.code == code
    assert says in played.err
    assert not Experience.objects.exists()
    assert not ProgramDeed.objects.exists()


@pytest.mark.parametrize("name", NAMES)
def test_its_options_and_its_names_are_told(name: str) -> None:
    text = (settings.BASE_DIR / "docs/commands.md").read_text()
    (section,) = re.findall(r"^## Of experiences\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    flags, ours = (
        {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
        for parser in (
            BaseCommand().create_parser("manage.py", "x"),
            load_command_class("experience", name).create_parser("manage.py", name),
        )
    )
    assert [flag for flag in sorted(ours - flags) if f"`{flag}" not in section and flag != "--reason"] == []
    assert [key for key in sorted(keys_of(told())) if f"`{key}`" not in section] == []
    assert f"`{name}" in section
