"""API keys: what is kept of them, and what opens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import ADDITION
from django.core.management import CommandError, call_command
from django.utils import timezone

from proxy.core.rights import Rights
from proxy.models import ApiKey, ProgramDeed
from proxy.tables.api_keys import find, make, rights_of
from proxy.tables.deeds import a_shell

RIGHTS = Rights(publish=("user:*", "everyone"), kick=True)


@pytest.mark.usefixtures("any_database")
def test_a_key_opens_until_it_is_revoked_and_brings_its_rights() -> None:
    shown, other = make("game", RIGHTS), make("game", Rights(list_connections=True))
    key, second = find(shown), find(other)
    assert key is not None
    assert second is not None
    assert (rights_of(key), rights_of(second)) == (RIGHTS, Rights(list_connections=True))

    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    assert find(shown) is None
    assert find(other) is not None


@pytest.mark.django_db
def test_the_database_holds_no_key() -> None:
    shown = make("game", RIGHTS)
    (row,) = ApiKey.objects.values()
    assert shown.startswith(f"sluicegate_{row['id']}_")
    assert shown[-43:] not in str(row)


@pytest.mark.django_db
def test_what_is_no_key_opens_nothing(django_assert_num_queries: Any) -> None:
    shown, other = make("game", RIGHTS), make("other", RIGHTS)
    assert find(shown[:-1] + ("b" if shown.endswith("a") else "a")) is None
    assert find(shown[:-43] + other[-43:]) is None
    assert find("sluicegate_000000000000" + shown[-44:]) is None
    with django_assert_num_queries(0):
        for text in ("", "x", shown[:-1], shown + "a", shown.upper(), f" {shown}", f"{shown}\n", "é" * 67):
            assert find(text) is None


@pytest.mark.django_db
def test_when_a_key_was_used_last_is_written_once_a_minute(django_assert_num_queries: Any) -> None:
    shown = make("game", RIGHTS)
    find(shown)
    used_at = ApiKey.objects.get().last_used_at
    assert used_at is not None
    with django_assert_num_queries(1):
        find(shown)
    ApiKey.objects.update(last_used_at=used_at - timedelta(minutes=2))
    find(shown)
    assert ApiKey.objects.filter(last_used_at__gte=used_at).exists()


@pytest.mark.django_db
def test_the_command_prints_a_key_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("issue_api_key", "game", "--publish", "user:*, experience:old-*,everyone", "--connections")
    told = capsys.readouterr()
    key = find(told.out.removesuffix("\n"))
    assert key is not None
    rights = Rights(publish=("user:*", "experience:old-*", "everyone"), list_connections=True)
    assert (told.err, key.name, rights_of(key)) == ("", "game", rights)


@pytest.mark.django_db
def test_a_key_that_is_issued_is_one_entry_of_the_audit_without_the_key(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call_command("issue_api_key", "game", "--publish", "user:*", "--kick", "--reason", "the new shop")
    shown = capsys.readouterr().out.strip()
    (row,), deed = ApiKey.objects.all(), ProgramDeed.objects.get()
    assert (deed.who, deed.kind, deed.object_id, deed.about) == (a_shell(), "proxy.apikey", row.pk, str(row))
    assert (deed.flag, deed.reason) == (ADDITION, "the new shop")
    assert deed.said == "Issued, to publish to user:*; kick: the new shop"
    assert shown.split("_", 2)[2] not in str(ProgramDeed.objects.values())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["game"], "may do nothing"),
        (["game", "--publish", ","], "may do nothing"),
        (["game", "--publish", "user:*,nobody:*"], "got 'nobody:\\*'"),
        (["game", "--publish", "gateway.*"], "got 'gateway.\\*'"),
        (["", "--kick"], "1 to 64 characters"),
        (["a\nb", "--kick"], "1 to 64 characters"),
        (["a" * 65, "--kick"], "1 to 64 characters"),
    ],
)
def test_a_key_that_could_not_be_meant_is_not_issued(words: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        call_command("issue_api_key", *words)
    assert not ApiKey.objects.exists()
    assert not ProgramDeed.objects.exists()
