"""What a block's page asks before it is saved."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

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
    monkeypatch.setattr("proxy.tables.blocking.MANY_LINKS", 2)
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


@pytest.mark.parametrize(("lasts", "seconds"), [("hour", 3600), ("day", 86_400), ("good", None)])
def test_how_long_a_block_lasts_is_chosen(admin_client: Client, lasts: str, seconds: int | None) -> None:
    posted = words(user_id="7", lasts=lasts, until_0="2030-01-01", until_1="00:00:00")
    assert admin_client.post(ADD, posted).status_code == 302
    until = Block.objects.get().until
    if seconds is None:
        assert until is None
    else:
        assert until is not None
        assert abs((until - timezone.now()).total_seconds() - seconds) < 60


def test_a_block_until_a_time_needs_one(admin_client: Client) -> None:
    assert "Say until when." in asked(admin_client, words(user_id="7", lasts="time"))
    posted = words(user_id="7", lasts="time", until_0="2030-01-01", until_1="00:00:00")
    assert admin_client.post(ADD, posted).status_code == 302
    assert str(Block.objects.get().until)[:10] == "2030-01-01"


def test_what_is_wrong_with_a_block_is_said_first(admin_client: Client) -> None:
    assert "This is no address and no network." in asked(admin_client, words(network="0.0.0.0/99"))


def page_of(client: Client, connection: Any) -> str:
    answer = client.get(f"/admin/proxy/connection/{connection.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_connection_leads_to_its_users_others_to_a_block_and_to_those_that_hold(
    admin_client: Client,
) -> None:
    connection = add_connection("a", user_id="a&b", client_address="192.0.2.7")
    for named in (
        {"user_id": "a&b"},
        {"network": "192.0.2.0/24"},
        {"user_id": "a&b", "network": "198.51.100.0/24"},
    ):
        Block.objects.create(**named)
    over = Block.objects.create(user_id="a&b", until=timezone.now())

    page = page_of(admin_client, connection)
    assert "?user=a%26b" in page
    (block_link,) = re.findall('href="([^"]+)">Block…', page)
    assert 'value="a&amp;b"' in admin_client.get(block_link).content.decode()
    holding = [int(each) for each in re.findall(r"/admin/proxy/block/(\d+)/change/", page)]
    assert holding == [over.pk - 2, over.pk - 3]


def test_blocks_are_named_to_who_may_see_them_alone(client: Client, django_user_model: Any) -> None:
    connection = add_connection("a", user_id="7")
    Block.objects.create(user_id="7", reason="a secret of staff")
    viewer = django_user_model.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_connection"))
    client.force_login(viewer)

    page = page_of(client, connection)
    assert "blocks are not yours to see" in page
    assert "/admin/proxy/block/" not in page


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("192.0.2.7", {"192.0.2.0/24", "192.0.2.7/32"}),
        ("192.0.2.9", {"192.0.2.0/24"}),
        ("192.0.", {"192.0.2.0/24", "192.0.2.7/32"}),
        ("2001:DB8:0::1", {"2001:db8::/32"}),
        ("19", {"192.0.2.0/24", "192.0.2.7/32", "1984"}),
        ("198.51.100.7", set()),
    ],
)
def test_a_search_for_an_address_finds_the_networks_that_have_it(
    admin_client: Client, term: str, found: set[str]
) -> None:
    for each in ("2001:db8::/32", "192.0.2.0/24", "192.0.2.7/32"):
        Block.objects.create(network=each)
    Block.objects.create(user_id="1984")
    listed = admin_client.get("/admin/proxy/block/", {"q": term}).context["cl"].result_list
    assert {str(each) for each in listed} == found


def test_a_block_names_who_placed_it_once_the_user_is_gone(admin_client: Client) -> None:
    assert admin_client.post(ADD, words(user_id="7")).status_code == 302
    block = Block.objects.get()
    assert (block.source, block.source_name) == ("admin", "admin")
    Block.objects.update(source="key bot (1)", created_by=None)
    assert "key bot (1)" in admin_client.get("/admin/proxy/block/").content.decode()
    assert "key bot (1)" in admin_client.get("/admin/proxy/person/7/").content.decode()
