"""Who fails to log in too often is kept out for a while, and nobody else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.usefixtures("any_database", "quick_passwords")
LOGIN, RIGHT = "/admin/login/", "correct horse"
HERE, THERE = "192.0.2.1", "198.51.100.2"


@pytest.fixture
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def staff(any_database: None, quick_passwords: None) -> None:
    for name in ("ada", "bob"):
        User.objects.create_superuser(name, password=RIGHT)


def login(name: str, password: str, *, address: str = HERE) -> int:
    """The status: 302 let in, 200 wrong, 429 locked."""
    return Client().post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address).status_code


def fail(name: str, times: int, *, address: str = HERE) -> list[int]:
    return [login(name, f"wrong {number}", address=address) for number in range(times)]


def test_a_name_that_fails_five_times_from_an_address_is_locked_there_and_only_there() -> None:
    assert fail("ada", 5) == [200] * 4 + [429]

    assert login("ada", RIGHT) == 429
    assert login("ada", RIGHT, address=THERE) == 302
    assert login("bob", RIGHT) == 302


def test_a_login_that_is_to_lead_to_another_site_leads_to_admin() -> None:
    form = {"username": "ada", "password": RIGHT, "next": "https://evil.example/"}
    assert Client().post(LOGIN, form, REMOTE_ADDR=HERE).headers["Location"] == "/admin/"


def test_the_page_of_who_is_locked_says_how_long_and_how_to_lift_it() -> None:
    fail("ada", 5)
    answer = Client().post(LOGIN, {"username": "ada", "password": RIGHT}, REMOTE_ADDR=HERE)

    assert answer.headers["Retry-After"] == "900"
    assert b"15 minutes" in answer.content
    assert b"axes_reset_username" in answer.content


def test_an_address_that_fails_with_many_names_is_locked_and_its_neighbours_are_not() -> None:
    assert {status for number in range(19) for status in fail(f"nobody {number}", 1)} == {200}
    assert fail("nobody", 1) == [429]

    assert login("ada", RIGHT) == 429
    assert login("ada", RIGHT, address="192.0.2.2") == 302


def test_a_name_that_fails_from_very_many_addresses_is_locked_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.admin.logins.LIMITS", (5, 20, 12))
    statuses = [status for number in range(12) for status in fail("ada", 1, address=f"203.0.113.{number}")]

    assert statuses == [200] * 11 + [429]
    assert login("ada", RIGHT, address=THERE) == 429
    assert login("bob", RIGHT, address=THERE) == 302


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    for number in range(5):
        fail("ada", 1, address=f"2001:db8::{number}")

    assert login("ada", RIGHT, address="2001:db8::ffff") == 429
    assert login("ada", RIGHT, address="2001:db8:0:1::1") == 302


def test_a_login_forgets_the_failures_of_its_name_from_its_address_and_no_others() -> None:
    fail("ada", 4)
    assert login("ada", RIGHT) == 302
    assert fail("ada", 4) == [200] * 4  # again four
    fail("bob", 4)
    assert login("ada", RIGHT) == 302
    assert fail("bob", 1) == [429]


def test_a_locked_administrator_comes_back_by_a_command() -> None:
    fail("ada", 5)
    call_command("axes_reset_username", "ada")

    assert login("ada", RIGHT) == 302


def test_who_is_locked_does_not_lengthen_it_by_trying() -> None:
    from axes.models import AccessAttempt

    fail("ada", 5)
    before = list(AccessAttempt.objects.values("attempt_time", "failures_since_start"))
    fail("ada", 3)

    assert list(AccessAttempt.objects.values("attempt_time", "failures_since_start")) == before


def test_a_failure_is_logged_with_name_and_address_and_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "gateway.logins"):
        login("ada", "s3cret")
        login("ada", RIGHT)

    lines = [
        (record.getMessage(), vars(record)["user"], vars(record)["client_address"])
        for record in caplog.records
    ]
    assert lines == [("login failed", "ada", HERE), ("login", "ada", HERE)]
    assert "s3cret" not in str([vars(record) for record in caplog.records])
