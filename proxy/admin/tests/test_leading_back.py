"""Forms that staff come to from another page lead back there: done or cancelled; and to no other site."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone

from proxy.models import Block
from proxy.tests.rows import add_connection

BACK = "/admin/proxy/connection/c/change/"
LIFTED = {"confirmed": "yes", "reason": "a mistake"}

pytestmark = pytest.mark.django_db


def test_what_is_saved_and_deleted_leads_back(admin_client: Client) -> None:
    add = f"/admin/proxy/block/add/?user_id=ada&next={BACK}"
    assert f'<a href="{BACK}">Cancel, and go back</a>' in admin_client.get(add).content.decode()
    assert b"Name a user" in admin_client.post(add, {}).content
    assert admin_client.post(add, {"user_id": "ada", "lasts": "good"}).headers["Location"] == BACK
    block = f"/admin/proxy/block/{Block.objects.get().pk}"
    changed = admin_client.post(f"{block}/change/?next={BACK}", {"user_id": "ada", "lasts": "hour"})
    assert changed.headers["Location"] == BACK
    assert admin_client.post(f"{block}/delete/?next={BACK}", LIFTED).headers["Location"] == BACK
    revoke = f"/admin/proxy/revocation/add/?next={BACK}"
    revoked = admin_client.post(revoke, {"user_id": "ada", "reason": "lost phone"})
    assert revoked.headers["Location"] == BACK


def test_without_it_they_end_where_they_did(admin_client: Client) -> None:
    assert b"go back" not in admin_client.get("/admin/proxy/block/add/").content
    saved = admin_client.post("/admin/proxy/block/add/", {"user_id": "ada", "lasts": "good"})
    assert saved.headers["Location"] == "/admin/proxy/block/"


def test_a_wide_block_leads_back_from_its_question(admin_client: Client) -> None:
    add = f"/admin/proxy/block/add/?next={BACK}"
    asked = admin_client.post(add, {"network": "192.0.2.0/20"}).content.decode()
    assert f'<a href="{BACK}" class="closelink">Cancel</a>' in asked
    done = admin_client.post(add, {"network": "192.0.2.0/20", "confirmed": "yes"})
    assert done.headers["Location"] == BACK


@pytest.mark.parametrize(
    "url", ["https://example.com/", "//example.com", "javascript:alert(1)", "\\\\example.com"]
)
def test_nobody_is_led_to_another_site(admin_client: Client, url: str) -> None:
    answer = admin_client.post(f"/admin/proxy/block/add/?next={url}", {"user_id": "ada"})
    assert answer.headers["Location"] == "/admin/proxy/block/"


@pytest.mark.parametrize(
    ("action", "said"), [("kick_users", "nobody to kick"), ("message_users", "Nobody of them is connected")]
)
def test_an_action_is_cancelled_and_ends_where_one_came_from(
    admin_client: Client, action: str, said: str
) -> None:
    row = add_connection("c", user_id="ada")
    assert f'name="next" value="{BACK}"' in admin_client.get(BACK).content.decode()
    chosen = {"action": action, "_selected_action": "c", "next": BACK}
    asked = admin_client.post("/admin/proxy/connection/", chosen).content.decode()
    assert f'<a href="{BACK}" class="closelink">Cancel</a>' in asked
    assert f'<input type="hidden" name="next" value="{BACK}">' in asked
    row.closed_at = timezone.now()
    row.save()
    gone = admin_client.post("/admin/proxy/connection/", chosen | {"confirmed": "yes"}, follow=True)
    assert gone.redirect_chain == [(BACK, 302)]
    assert said in gone.content.decode()
