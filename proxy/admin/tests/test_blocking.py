"""What a block's page asks before it is saved."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from proxy.models import Block
from proxy.tests.rows import add_connection

pytestmark = pytest.mark.django_db
ADD = "/admin/proxy/block/add/"


def words(**named: str) -> dict[str, str]:
    return {"user_id": "", "network": "", "until_0": "", "until_1": "", "reason": "", **named}


def asked(client: Client, posted: dict[str, str]) -> str:
    """The words of the page that asks; nothing is saved."""
    answer = client.post(ADD, posted)
    assert answer.status_code == 200
    assert not Block.objects.exists()
    return " ".join(re.sub("<[^>]+>", "", answer.content.decode()).split())


@pytest.fixture
def links(db: Any) -> None:
    for number in range(3):
        add_connection(f"in-{number}", client_address=f"192.0.{number}.7", user_id=str(number % 2))
    add_connection("out", client_address="198.51.100.7", user_id="9")


@pytest.mark.parametrize("named", [{"user_id": "7"}, {"network": "192.0.2.7"}, {"network": "192.0.2.0/24"}])
def test_a_block_of_one_user_or_place_asks_nothing(
    admin_client: Client, links: None, named: dict[str, str]
) -> None:
    assert admin_client.post(ADD, words(**named)).status_code == 302
    assert Block.objects.count() == 1


def test_a_wide_network_is_asked_about_with_figures(admin_client: Client, links: None) -> None:
    posted = words(network="192.0.0.0/16", reason="a flood")
    assert "192.0.0.0/16 matches 3 live links of 2 users" in asked(admin_client, posted)
    assert admin_client.post(ADD, posted | {"confirmed": "yes"}).status_code == 302
    assert Block.objects.get().reason == "a flood"


def test_links_of_many_are_asked_about_whatever_is_named(
    admin_client: Client, links: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.admin.blocking.MANY_LINKS", 2)
    assert "0 matches 2 live links of 1 user." in asked(admin_client, words(user_id="0"))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.0/7"])
def test_the_world_wants_the_word_typed(admin_client: Client, links: None, network: str) -> None:
    posted = words(network=network)
    assert "That is a large part of the world." in asked(admin_client, posted)
    assert "This field is required." in asked(admin_client, posted | {"confirmed": "yes"})
    assert "Type “everyone”, or cancel." in asked(admin_client, posted | {"confirmed": "yes", "word": "no"})
    assert admin_client.post(ADD, posted | {"confirmed": "yes", "word": "Everyone"}).status_code == 302
    assert Block.objects.count() == 1


def test_who_may_block_nobody_is_told_no_figures(client: Client, links: None, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_user("viewer", is_staff=True))
    assert client.post(ADD, words(network="0.0.0.0/0")).status_code == 403


def test_what_is_wrong_with_a_block_is_said_first(admin_client: Client) -> None:
    assert "This is no address and no network." in asked(admin_client, words(network="0.0.0.0/99"))
