"""The page of API keys: what it shows, and revoking."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from proxy.admin.tests.test_admin import log_in
from proxy.core.rights import Rights
from proxy.models import ApiKey
from proxy.tables.api_keys import find, make

pytestmark = pytest.mark.usefixtures("any_database")
LIST = "/admin/proxy/apikey/"


def revoke(client: Client, *shown: str) -> str:
    ids = [key.split("_")[1] for key in shown]
    form = {"action": "revoke", "_selected_action": ids, "confirmed": "yes", "reason": "it leaked"}
    return client.post(LIST, form, follow=True).content.decode()


def test_a_revoked_key_opens_nothing_and_the_log_says_who_revoked_it(client: Client) -> None:
    staff = log_in(client, "view_apikey", "change_apikey")
    first, second = (make("game", Rights(publish=("user:*",), kick=True)) for _ in range(2))

    asked = staff.post(LIST, {"action": "revoke", "_selected_action": first.split("_")[1]}).content.decode()
    assert "1 key will open nothing any more" in asked
    assert "0 of them were used in the last day." in asked
    assert "1 key revoked." in revoke(staff, first)
    assert (find(first), find(second) is None) == (None, False)
    revoked_at = ApiKey.objects.get(revoked_at__isnull=False).revoked_at
    assert "1 key revoked." in revoke(staff, first, second)
    assert find(second) is None

    assert ApiKey.objects.get(pk=first.split("_")[1]).revoked_at == revoked_at
    noted = LogEntry.objects.values_list("object_id", "change_message", "user__username")
    names = [f"game ({key.split('_')[1]})" for key in (first, second)]
    said = {
        (key.split("_")[1], f"Revoked 1 key: it leaked ({name})", "ada")
        for key, name in zip((first, second), names, strict=True)
    }
    assert set(noted) == said
    assert "nothing to revoke" in revoke(staff, first)


def test_the_pages_show_rights_and_no_hash(client: Client) -> None:
    staff = log_in(client, "view_apikey")
    make("<game>", Rights(publish=("user:*", "everyone"), list_connections=True))
    (key,) = ApiKey.objects.all()
    for page in (LIST, f"{LIST}{key.pk}/change/"):
        text = staff.get(page).content.decode()
        assert "&lt;game&gt;" in text
        assert "user:*, everyone" in text
        assert "list connections" in text
        assert "valid" in text
        assert key.digest not in text
    assert "&lt;game&gt;</" in text  # by itself: its id has a line of its own


def test_who_may_look_may_not_revoke(client: Client) -> None:
    staff = log_in(client, "view_apikey")
    shown = make("game", Rights(kick=True))
    revoke(staff, shown)
    assert find(shown) is not None
    assert staff.get(f"{LIST}add/").status_code == 403
