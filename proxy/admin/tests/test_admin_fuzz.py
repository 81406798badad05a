"""Admin under requests that no page of its own sends: a 4xx or a page that says what is wrong, never a 500.

On PostgreSQL, which refuses values that SQLite takes. The test client raises whatever would be a 500.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connections
from django.db.models import Model
from django.test import Client

from proxy import registry
from proxy.core.routes import Route, Upstream
from proxy.models import Block, PoolMember
from proxy.tests.rows import add_connection, add_node

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("transactional_db", "postgres_database"),
    pytest.mark.timeout(180),  # hundreds of pages each: a quarter of a minute alone
]

NASTY = [
    "a\0b", "\ud800", "9" * 40, str(2**63), "-1", "999.1.1.1", "x" * 3000, "🙂" * 300, "(", "NaN",
    "0001-01-01", "9999-12-31", "", "..",
]  # fmt: skip
FORM_TEXTS = [value for value in NASTY if value != "\ud800"]  # a form in UTF-8 cannot hold it
LOOKUPS = {"": "not-an-address", "__in": str(2**63), "__range": "99999", "__year": "99999", "__regex": "("}
OWN_PARAMETERS = [
    "q", "p", "o", "all", "e", "_to_field", "_popup", "_facets", "_changelist_filters", "live", "route",
    "topic", "node", "closed_by", "is_staff__exact", "groups__id__exact", "created_by__username",
    "node__host",
]  # fmt: skip


@pytest.fixture
def superuser(postgres_database: object, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Logged in where there is one pool that staff may change."""
    route = Route(name="studio", paths=("ws",), upstream=Upstream(name="studio", members=(), editable=True))
    monkeypatch.setattr(registry, "routes", lambda: (route,))
    user = User.objects.create_superuser("ada", password=None)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def rows(superuser: Client) -> list[Model]:
    """One row of every table that has pages."""
    node, connection = add_node("n1"), add_connection("a", client_address="192.0.2.7")
    block, group = Block.objects.create(user_id="1"), Group.objects.create(name="g")
    member = PoolMember.objects.create(pool="studio", url="ws://a:1/")
    return [node, connection, block, group, member, User.objects.get()]


def quoted(value: str) -> str:
    return quote(value.encode(errors="surrogatepass"))


def lists() -> Iterator[tuple[type[Model], str]]:
    for model in admin.site._registry:
        yield model, f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def form_fields(client: Client, url: str) -> list[str]:
    context = client.get(url).context
    form = context["adminform"].form if "adminform" in context else context["form"]
    return [name for name, field in form.fields.items() if not field.disabled]


def test_lists_take_any_query(superuser: Client, rows: list[Model]) -> None:
    for model, url in lists():
        fields = [field.name for field in model._meta.fields]
        for lookup, value in LOOKUPS.items():
            for name in fields:
                assert superuser.get(f"{url}?{name}{lookup}={quoted(value)}").status_code < 500
        for name in OWN_PARAMETERS:
            for value in ("a\0b", "\ud800", str(2**63), "x" * 3000, "("):
                assert superuser.get(f"{url}?{name}={quoted(value)}").status_code < 500


def test_pages_of_one_row_take_any_id(superuser: Client, rows: list[Model]) -> None:
    for _, url in lists():
        for page in ("change/", "delete/", "history/", "password/", ""):
            for value in NASTY:
                assert superuser.get(f"{url}{quoted(value)}/{page}").status_code < 500
            assert superuser.post(f"{url}{2**63}/{page}", {"post": "yes"}).status_code < 500
    for value in map(quoted, NASTY):
        for other in (
            f"r/{value}/1/",
            f"r/1/{value}/",
            f"autocomplete/?term={value}&field_name={value}",
            value,
        ):
            assert superuser.get(f"/admin/{other}").status_code < 500


@pytest.mark.parametrize("action", ["delete_selected", "kick_links", "kick_users", "move", "no such"])
def test_actions_take_any_selection(superuser: Client, rows: list[Model], action: str) -> None:
    for _, url in lists():
        for value in FORM_TEXTS:
            form = {"action": action, "_selected_action": [value], "pool": value, "url": value}
            assert superuser.post(url, {**form, "confirmed": "yes", "post": "yes"}).status_code < 500
        for value in FORM_TEXTS:
            form = {"action": action, "_selected_action": ["1"], "select_across": value, "index": value}
            assert superuser.post(url, form).status_code < 500


def test_forms_take_any_text(superuser: Client, rows: list[Model], settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
    usual = {
        "user_id": "7",
        "pool": "studio",
        "url": "ws://b:1",
        "weight": "1",
        "name": "g",
        "username": "ada",
    }
    editable = [row for row in rows if type(row) in {Block, Group, PoolMember, User}]
    pages = [f"{url}add/" for model, url in lists() if model in map(type, editable)]
    pages += [f"{url}{row.pk}/change/" for row in editable for model, url in lists() if model is type(row)]
    for page in [*pages, "/admin/password_change/"]:
        names = [*form_fields(superuser, page), "until_0", "until_1", "_to_field", "_popup"]
        forms = [dict.fromkeys(names[:-2], value) for value in FORM_TEXTS]
        forms += [
            {**usual, name: value} for name in names for value in (str(2**63), "x" * 3000, "0001-01-01", "")
        ]
        for form in forms:
            assert superuser.post(page, form).status_code < 500, (page, form)
        superuser.force_login(User.objects.get(pk=rows[-1].pk))  # its password may have been changed


@pytest.mark.parametrize("cookie", ["sessionid", "csrftoken", "messages"])
def test_a_cookie_with_nul_is_refused(postgres_database: object, cookie: str) -> None:
    answer = Client().get("/admin/", headers={"cookie": rf'{cookie}="aaaaaaaa\000aaaaaaaa"'})

    assert answer.status_code == 400


@pytest.mark.parametrize("charset", ["utf-7", "unicode_escape", "utf-16", "rot13", "idna"])
def test_a_form_that_is_not_utf_8_is_refused(postgres_database: object, charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="username"\r\n\r\n+2AA- \\ud800\r\n--b--\r\n'
    kind = f"multipart/form-data; boundary=b; charset={charset}"

    assert Client().generic("POST", "/admin/login/", body, content_type=kind).status_code == 400


def test_a_member_that_is_added_twice_at_a_time_is_there_once(superuser: Client) -> None:
    form = {"pool": "studio", "url": "ws://c:1", "weight": "1"}
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(lambda _: post_alone(superuser, "/admin/proxy/poolmember/add/", form), range(4))
        )

    assert set(answers) <= {200, 302}  # a form that says so, or the list
    assert PoolMember.objects.get().url == "ws://c:1/"


def post_alone(client: Client, url: str, form: dict[str, str]) -> int:
    """A post from a thread of its own, with a database connection of its own."""
    own = Client()
    own.cookies = client.cookies
    try:
        return own.post(url, form).status_code
    finally:
        connections.close_all()
