"""Who was turned away, as staff find it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from proxy.models import Block
from proxy.tests.rows import add_connection, add_node, add_refusal

LIST = "/admin/proxy/refusal/"

pytestmark = pytest.mark.django_db


def listed(client: Client, **query: str) -> str:
    answer = client.get(LIST, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_says_in_words_why_and_how_many_lately(admin_client: Client) -> None:
    add_refusal("a", user_id="ada", email="ada@example.com", client_address="192.0.2.7")
    add_refusal("b", cause="too_many_rate_per_ip", status=429, times=212)
    add_refusal("c", cause="not_found", refused_at=timezone.now() - timedelta(hours=2))
    page = listed(admin_client)
    assert "<strong>213</strong> turned away in the last 15 minutes" in page
    assert '<a href="?cause=too_many_rate_per_ip"><strong>212</strong> its address came too often</a>' in page
    assert "and 211 more" in page
    assert "the token had expired" in page
    assert "401 token_expired" in page


@pytest.mark.parametrize("term", ["ad", "ada@exa", "192.0.2.7", "request-1"])
def test_a_person_is_found_by_what_support_is_told(admin_client: Client, term: str) -> None:
    add_refusal(
        "a", user_id="ada", email="ada@example.com", client_address="192.0.2.7", request_id="request-1"
    )
    add_refusal(
        "b", user_id="bob", email="bob@example.com", client_address="192.0.2.8", request_id="request-2"
    )
    page = listed(admin_client, q=term)
    assert "ada@example.com" in page
    assert "bob@example.com" not in page


def test_the_list_is_filtered_by_cause_and_route(admin_client: Client) -> None:
    add_refusal("a", user_id="ada", cause="blocked", route="chat")
    add_refusal("b", user_id="bob", cause="blocked")
    add_refusal("c", user_id="carol")
    page = listed(admin_client, cause="blocked", route="chat")
    assert ("ada" in page, "bob" in page, "carol" in page) == (True, False, False)


def test_of_one_user_no_other_is_shown_whose_id_begins_so(admin_client: Client) -> None:
    for user in ("7", "70"):
        add_refusal(f"r{user}", user_id=user, email=f"{user}@example.com")
        add_connection(f"c{user}", user_id=user, email=f"{user}@example.com")
    for page in (LIST, "/admin/proxy/connection/"):
        shown = admin_client.get(page, {"user": "7"}).content.decode()
        assert "7@example.com" in shown
        assert "70@example.com" not in shown
        assert "User: <strong>7</strong>" in shown


def test_one_in_full_says_what_the_client_does_and_which_block_holds(admin_client: Client) -> None:
    add_node()
    add_refusal("a", user_id="ada", cause="blocked", status=403, close_code=4003)
    block = Block.objects.create(user_id="ada")
    page = admin_client.get(f"{LIST}a/change/").content.decode()
    assert "a block of staff keeps it out" in page
    assert f"/admin/proxy/block/{block.pk}/change/" in page
    assert "/admin/proxy/connection/?user=ada" in page
    assert "/admin/proxy/block/add/?user_id=ada" in page


def test_one_whose_node_is_not_known_is_shown(admin_client: Client) -> None:
    add_refusal("a")
    assert admin_client.get(f"{LIST}a/change/").status_code == 200


def test_who_may_see_refusals_alone_sees_no_blocks_and_is_led_nowhere_else(client: Client) -> None:
    add_refusal("a", user_id="ada")
    Block.objects.create(user_id="ada")
    viewer = User.objects.create_user("vera", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_refusal"))
    client.force_login(viewer)
    page = client.get(f"{LIST}a/change/").content.decode()
    assert "blocks are not yours to see" in page
    assert "/admin/proxy/connection/" not in page
    assert "/admin/proxy/block/" not in page
    for path in (f"{LIST}add/", f"{LIST}a/delete/"):
        assert client.post(path).status_code == 403


def test_a_page_of_a_hundred_takes_few_queries(
    admin_client: Client, django_assert_max_num_queries: object
) -> None:
    for number in range(100):
        add_refusal(str(number), user_id=str(number))
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        listed(admin_client)
