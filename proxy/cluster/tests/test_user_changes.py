"""What happens to one of Django's users takes the user's tokens back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.test import Client
from django.test.utils import isolate_apps

from proxy.cluster import rules
from proxy.cluster.revocation_watch import is_revoked
from proxy.core.principal import Principal
from proxy.models import Revocation

pytestmark = pytest.mark.usefixtures("any_database")

Change = Callable[[User], object]


def set_to(**values: Any) -> Change:
    def change(user: User) -> None:
        for name, value in values.items():
            setattr(user, name, value)
        user.save()

    return change


def set_password(user: User) -> None:
    user.set_password("another")
    user.save()


def make_password_unusable(user: User) -> None:
    user.set_unusable_password()
    user.save(update_fields=["password"])


def log_out(user: User) -> None:
    client = Client()
    client.force_login(user)
    client.post("/admin/logout/")


def the_group() -> Group:
    return Group.objects.get(name="team")


def the_permission() -> Permission:
    return Permission.objects.get(codename="kick_connection")


CHANGES: list[tuple[Change, str]] = [
    (set_to(is_active=False), "no longer active"),
    (set_to(username="lovelace"), "renamed"),
    (set_to(is_staff=False), "lost a permission"),
    (set_to(is_superuser=False), "lost a permission"),
    (User.delete, "deleted"),
    (lambda user: User.objects.filter(pk=user.pk).delete(), "deleted"),
    (set_password, "password changed"),
    (set_to(password=make_password("another")), "password changed"),
    (make_password_unusable, "password changed"),
    (log_out, "logged out"),
    (lambda user: user.groups.clear(), "lost a permission"),
    (lambda user: user.groups.set([]), "lost a permission"),
    (lambda user: the_group().user_set.remove(user.pk), "lost a permission"),
    (lambda user: the_group().user_set.clear(), "lost a permission"),
    (lambda user: the_group().delete(), "lost a permission"),
    (lambda user: the_group().permissions.clear(), "lost a permission"),
    (lambda user: the_group().permissions.remove(the_permission()), "lost a permission"),
    (lambda user: the_permission().group_set.clear(), "lost a permission"),
    (lambda user: user.user_permissions.clear(), "lost a permission"),
    (lambda user: the_permission().user_set.remove(user.pk), "lost a permission"),
]


def rows() -> list[tuple[str, str, str]]:
    return list(Revocation.objects.order_by("pk").values_list("user_id", "jti", "reason"))


@pytest.fixture
def ada() -> User:
    user = User.objects.create_superuser("ada", password="sesame")
    User.objects.create_user("bob").groups.add(Group.objects.create(name="other"))
    group = Group.objects.create(name="team")
    group.permissions.add(the_permission())
    user.groups.add(group)
    user.user_permissions.add(the_permission())
    assert rows() == []
    return user


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_change_takes_the_users_tokens_back_and_nobody_elses(
    ada: User, change: Change, reason: str
) -> None:
    change(ada)
    assert rows() == [("ada", "", reason)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (set_to(is_active=False), "no longer active"),
        (set_password, "password changed"),
        (lambda user: user.delete(), "deleted"),
        (lambda user: user.groups.clear(), "lost a permission"),
    ],
)
def test_so_does_one_by_a_products_own_proxy_of_djangos_model(ada: User, change: Change, reason: str) -> None:
    with isolate_apps("proxy"):

        class Player(User):
            class Meta:
                proxy = True
                app_label = "proxy"

        change(Player.objects.get(pk=ada.pk))
    assert rows() == [("ada", "", reason)]


def test_a_user_that_is_written_without_having_been_read_is_compared_too(ada: User) -> None:
    User(pk=ada.pk, username="ada", password=ada.password, is_active=False).save()
    assert ("ada", "", "no longer active") in rows()


def test_a_token_that_is_issued_with_the_change_is_good(ada: User) -> None:
    set_password(ada)
    row = Revocation.objects.get()
    assert row.issued_before is not None
    assert row.issued_before.microsecond == 0, "as iat, which is rounded down"
    second = int(row.issued_before.timestamp())
    assert timedelta(0) <= row.created_at - row.issued_before < timedelta(seconds=2)
    assert not is_revoked(Principal(user_id="ada", claims={"iat": second}))
    assert is_revoked(Principal(user_id="ada", claims={"iat": second - 1}))


def test_a_token_of_the_very_second_does_not_outlive_its_user(ada: User) -> None:
    ada.delete()
    row = Revocation.objects.get()
    assert row.issued_before is not None
    assert is_revoked(Principal(user_id="ada", claims={"iat": int(row.issued_before.timestamp())}))


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_announced_once_whatever_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[object] = []
    monkeypatch.setattr(rules, "send_to_topic_sync", lambda *told: announced.append(told))
    with transaction.atomic():
        for number in range(5):
            User.objects.create_user(f"user {number}")
        User.objects.filter(username__startswith="user").delete()
    assert len(rows()) == 5
    assert len(announced) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.save(),
        set_to(email="ada@example.com", first_name="Ada"),
        lambda user: user.groups.add(Group.objects.get(name="other")),
        lambda user: user.check_password("sesame"),
        lambda user: Client().force_login(user),
    ],
)
def test_what_takes_nothing_from_a_user_takes_no_token_back(ada: User, change: Change) -> None:
    change(ada)
    assert rows() == []


def test_a_hash_that_a_login_brings_up_to_date_is_no_new_password(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(password=make_password("sesame", hasher="pbkdf2_sha1"))
    user = User.objects.get(pk=ada.pk)
    assert user.check_password("sesame")
    assert not User.objects.get(pk=ada.pk).password.startswith("pbkdf2_sha1")
    assert rows() == []


def test_logging_out_again_and_again_keeps_one_row(ada: User) -> None:
    log_out(ada)
    first = Revocation.objects.get()
    log_out(ada)
    last = Revocation.objects.get()
    assert last.issued_before is not None
    assert first.issued_before is not None
    assert last.issued_before >= first.issued_before
    assert last.pk != first.pk


def test_what_settings_leave_out_takes_nothing_back(ada: User, settings: Any) -> None:
    settings.REVOKE_ON = ("deleted",)
    for change in (set_to(is_active=False), log_out, set_password, set_to(is_staff=False)):
        change(ada)
    ada.groups.clear()
    assert rows() == []
    ada.delete()
    assert rows() == [("ada", "", "deleted")]


def test_tokens_may_name_users_by_their_primary_key(ada: User, settings: Any) -> None:
    settings.JWT_USER_FIELD = "pk"
    key = str(ada.pk)
    set_to(username="lovelace")(ada)
    the_group().permissions.clear()
    ada.delete()
    assert rows() == [(key, "", "lost a permission"), (key, "", "deleted")]
