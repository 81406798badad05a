"""`manage.py publish`: its mistakes are told so that one can mend them."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings


@pytest.fixture(autouse=True)
def _with_redis(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize("event", ["not json", "", "{'type': 'x'}"])
def test_an_event_that_is_no_json_is_called_so_and_shown_how(event: str) -> None:
    with pytest.raises(CommandError, match=r"the event is not JSON .*; one is like .*quest.updated"):
        call_command("publish", "user:demo", event)


def test_a_wrong_topic_hears_of_those_that_the_help_names() -> None:
    with pytest.raises(CommandError) as refused:
        call_command("publish", "demo", '{"type": "x"}')
    for kind in ("user:", "experience:", "connection:", "everyone"):
        assert kind in str(refused.value)
    assert "node:" not in str(refused.value)
