"""Who may open and post to each page of admin, and do what its buttons and menus offer, in a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from proxy.admin.tests.groups import log_in_as, play_migrations
from proxy.models import ApiKey, Block, Deed, OutgoingEvent, PoolMember, Revocation, Tap
from proxy.tests.rows import add_connection, add_node, add_refusal

pytestmark = pytest.mark.django_db

# Each may what those before it may; "never" is not even a superuser's.
ROLES = ("nobody", "staff", "Viewers", "Support", "Operators", "superuser")

# A page, who may get it, and who may post to it.
PAGES = """
login/                              nobody      nobody
logout/                             nobody      nobody
(?P<url>.*)$                        staff       staff
index                               staff       staff
jsi18n/                             staff       never
password_change/                    staff       staff
password_change/done/               staff       never
autocomplete/                       never       never
r/KIND/ID/                          staff       staff
^(?P<app_label>APPS)/$              staff       staff

proxy/apikey/                       Operators   Operators
proxy/apikey/add/                   never       never
proxy/apikey/ID/                    staff       staff
proxy/apikey/ID/change/             Operators   never
proxy/apikey/ID/delete/             never       never
proxy/apikey/ID/history/            Operators   Operators

proxy/block/                        Viewers     Viewers
proxy/block/add/                    Support     Support
proxy/block/ID/                     staff       staff
proxy/block/ID/change/              Viewers     Support
proxy/block/ID/delete/              Support     Support
proxy/block/ID/history/             Viewers     Viewers

proxy/connection/                   Viewers     Viewers
proxy/connection/add/               never       never
proxy/connection/broadcast/         Operators   Operators
proxy/connection/ID/                staff       staff
proxy/connection/ID/change/         Viewers     never
proxy/connection/ID/delete/         never       never
proxy/connection/ID/history/        Viewers     Viewers
proxy/connection/ID/tap/            Operators   Operators
proxy/connection/ID/tap/TAP/        Operators   Operators
proxy/connection/ID/tap/TAP/stop/   Operators   Operators

proxy/deed/                         Operators   Operators
proxy/deed/export/                  Operators   Operators
proxy/deed/add/                     never       never
proxy/deed/ID/                      staff       staff
proxy/deed/ID/change/               Operators   never
proxy/deed/ID/delete/               never       never
proxy/deed/ID/history/              Operators   Operators

proxy/live/                         Viewers     Viewers
proxy/live/events/                  Viewers     never
proxy/live/marks/                   Viewers     Viewers
proxy/live/series/                  Viewers     never

proxy/node/                         Viewers     Viewers
proxy/node/add/                     never       never
proxy/node/ID/                      staff       staff
proxy/node/ID/change/               Viewers     never
proxy/node/ID/delete/               never       never
proxy/node/ID/drain/                Operators   Operators
proxy/node/ID/history/              Viewers     Viewers

proxy/outgoingevent/                Operators   Operators
proxy/outgoingevent/add/            never       never
proxy/outgoingevent/ID/             staff       staff
proxy/outgoingevent/ID/change/      Operators   never
proxy/outgoingevent/ID/delete/      never       never
proxy/outgoingevent/ID/history/     Operators   Operators

proxy/person/                       Viewers     Viewers
proxy/person/ID/                    Viewers     Support

proxy/poolmember/                   Viewers     Operators
proxy/poolmember/add/               Operators   Operators
proxy/poolmember/ID/                staff       staff
proxy/poolmember/ID/change/         Viewers     Operators
proxy/poolmember/ID/delete/         Operators   Operators
proxy/poolmember/ID/history/        Viewers     Viewers

proxy/refusal/                      Viewers     Viewers
proxy/refusal/add/                  never       never
proxy/refusal/ID/                   staff       staff
proxy/refusal/ID/change/            Viewers     never
proxy/refusal/ID/delete/            never       never
proxy/refusal/ID/history/           Viewers     Viewers

proxy/tap/ID/events/                Operators   never

proxy/revocation/                   Viewers     Viewers
proxy/revocation/add/               Support     Support
proxy/revocation/ID/                staff       staff
proxy/revocation/ID/change/         Viewers     never
proxy/revocation/ID/delete/         never       never
proxy/revocation/ID/history/        Viewers     Viewers

experience/experience/              Viewers     Viewers
experience/experience/add/          Operators   Operators
experience/experience/ID/           staff       staff
experience/experience/ID/change/    Viewers     Operators
experience/experience/ID/delete/    Operators   Operators
experience/experience/ID/history/   Viewers     Viewers

auth/user/                          superuser   superuser
auth/user/add/                      superuser   superuser
auth/user/ID/                       staff       staff
auth/user/ID/change/                superuser   superuser
auth/user/ID/delete/                superuser   superuser
auth/user/ID/history/               superuser   superuser
auth/user/ID/password/              superuser   superuser

auth/group/                         superuser   superuser
auth/group/add/                     superuser   superuser
auth/group/ID/                      staff       staff
auth/group/ID/change/               superuser   superuser
auth/group/ID/delete/               superuser   superuser
auth/group/ID/history/              superuser   superuser
"""
# A page, what it offers, and who may do that.
ACTIONS = """
proxy/apikey/                       revoke              Operators
proxy/block/                        delete_selected     Support
proxy/connection/                   kick_links          Support
proxy/connection/                   kick_users          Support
proxy/connection/                   message_links       Support
proxy/connection/                   message_users       Support
proxy/connection/ID/change/         kick_links          Support
proxy/connection/ID/change/         message_users       Support
proxy/connection/ID/change/         kick_users          Support
experience/experience/              delete_selected     Operators
experience/experience/              disable             Operators
experience/experience/              enable              Operators
experience/experience/ID/change/    enable              Operators
proxy/outgoingevent/                try_again           Operators
proxy/person/ID/                    kick_users          Support
proxy/person/ID/                    message_users       Support
proxy/poolmember/                   drain               Operators
proxy/poolmember/                   move                Operators
proxy/poolmember/                   undrain             Operators
auth/group/                         delete_selected     superuser
auth/user/                          delete_selected     superuser
"""
OURS = ("proxy", "auth", "experience")
OFFERED = re.compile(r'<button[^>]* name="action" value="(\w+)"|<option value="(\w+)"')
MENU = re.compile(r'<select name="action".*?</select>', re.DOTALL)


def parsed(table: str) -> Iterator[list[str]]:
    yield from (line.split() for line in table.splitlines() if line)


def paths(patterns: Any, before: str = "") -> Iterator[str]:
    for each in patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from paths(each.url_patterns, path)
        elif isinstance(each, URLPattern):
            yield path


def named(path: str) -> str:
    """A pattern as the tables have it."""
    path = path.removeprefix("admin/").replace("proxy/tap/<str:tap_id>", "proxy/tap/ID")
    path = path.replace("<str:tap_id>", "TAP")
    path = re.sub(r"<(path:object_id|path:key|id)>", "ID", path).replace("<path:content_type_id>", "KIND")
    return re.sub(r"app_label>[\w|]+", "app_label>APPS", path) or "index"


@pytest.fixture
def rows(db: None) -> dict[str, str]:
    """The id of one row of each table that has pages."""
    play_migrations()
    PoolMember.objects.create(pool="studio", url="ws://b:1/", draining=True)
    made = [
        add_node("n1"),
        add_connection("a", user_id="7", client_address="192.0.2.7"),
        add_refusal("r"),
        ApiKey.objects.create(id="k", name="game", digest=""),
        Block.objects.create(user_id="7"),
        OutgoingEvent.objects.create(subject="s", key="", body="", size_bytes=0, refused="too large"),
        PoolMember.objects.create(pool="studio", url="ws://a:1/"),
        Revocation.objects.create(jti="j"),
        Deed.objects.create(user=User.objects.create_user("eve"), object_repr="a row", action_flag=DELETION),
        User.objects.create_user("bob"),
        Group.objects.create(name="g"),
        apps.get_model("experience", "Experience").objects.create(slug="old-mill", enabled=False),
        Tap.objects.create(connection_id="a", by=User.objects.get(username="eve"), until=timezone.now()),
    ]
    ids = {f"{row._meta.app_label}/{row._meta.model_name}": str(row.pk) for row in made}
    return ids | {"proxy/person": "7"}


def url(page: str, rows: dict[str, str]) -> str:
    """The address of a page of the tables, of the row that there is."""
    if page.startswith("^"):
        return "/admin/proxy/"
    path = {"index": "", "r/KIND/ID/": "r/1/1/", "(?P<url>.*)$": "no such page"}.get(page, page)
    kind = "/".join(path.split("/")[:2])
    return "/admin/" + (path.replace("ID", rows[kind]) if kind in rows else path)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that asks this test's database, and has no room for another page: whoever may is told so."""

    async def asked(work: Any, *arguments: str) -> Any:
        return await sync_to_async(work)(*arguments)

    async def caught_up() -> None:
        pass

    async def running() -> Any:
        full = SimpleNamespace(is_full=True, has_room=lambda tap_id: False, caught_up=caught_up, series=away)
        figures, taps = SimpleNamespace(live=full, charts=full), SimpleNamespace(readers=full)
        return SimpleNamespace(database=SimpleNamespace(run=asked), figures=figures, taps=taps)

    async def away(span: str) -> None:
        raise TimeoutError

    for module in ("live", "tapping"):
        monkeypatch.setattr(f"proxy.http.{module}.running_node", running)


def is_refused(answer: Any) -> bool:
    """405 to a POST: nobody may, whoever it is."""
    to_login = bool(answer.status_code == 302 and answer.url.startswith("/admin/login/"))
    takes_none = answer.status_code == 405 and answer.wsgi_request.method == "POST"
    return answer.status_code == 403 or to_login or takes_none


def is_done(answer: Any) -> bool:
    """Whether an action was done, or asks first; Django tells who may not have it that none was chosen."""
    if answer.status_code == 302 and not is_refused(answer):
        return all(str(said) != "No action selected." for said in get_messages(answer.wsgi_request))
    return "confirmation" in str(getattr(answer, "template_name", ""))


def may(role: str, least: str) -> bool:
    return least != "never" and ROLES.index(role) >= ROLES.index(least)


def offered(client: Client, at: str) -> set[str]:
    """What the buttons and the menu of a page do."""
    page = getattr(client.get(at), "content", b"").decode()  # one page is a file, and streamed
    buttons = (button for button, _ in OFFERED.findall(page))
    menu = (option for each in MENU.findall(page) for _, option in OFFERED.findall(each))
    return {*buttons, *menu} - {""}


def test_every_page_of_admin_is_in_the_table() -> None:
    found = {named(path) for path in paths(get_resolver().url_patterns) if path.startswith("admin/")}
    ours = {path for path in found if path.count("/") < 2 or path.startswith((*OURS, "password", "r/"))}
    assert ours == {page for page, *_ in parsed(PAGES)}


def test_every_button_and_action_is_in_the_table(rows: dict[str, str]) -> None:
    client = log_in_as("superuser")
    found = {(page, each) for page, *_ in parsed(PAGES) for each in offered(client, url(page, rows))}
    assert found == {(page, action) for page, action, _ in parsed(ACTIONS)}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.usefixtures("node")
def test_who_may_open_and_post_to_each_page(rows: dict[str, str], role: str) -> None:
    log_in_as(role)
    Tap.objects.update(by=User.objects.filter(username=role).first() or User.objects.get(username="eve"))
    for page, *least in parsed(PAGES):
        at = url(page, rows)
        for ask, who in zip(("get", "post"), least, strict=True):
            client = log_in_as(role)  # each time: one page logs out
            assert is_refused(getattr(client, ask)(at)) is not may(role, who), (page, ask)


@pytest.mark.parametrize("role", ROLES)
def test_who_may_do_what_pages_offer(rows: dict[str, str], role: str) -> None:
    client = log_in_as(role)
    member = {"pool": "studio", "url": "ws://a:1/"}
    for page, action, least in parsed(ACTIONS):
        at, kind = url(page, rows), "/".join(page.split("/")[:2])
        assert (action in offered(client, at)) is may(role, least), (page, action)
        kind = kind.replace("person", "connection")  # they post to the list of those
        form = {"action": action, "_selected_action": rows[kind], **member}
        answer = client.post(f"/admin/{kind}/", form)
        assert is_done(answer) is may(role, least), (page, action)


@pytest.mark.parametrize("role", ["staff", "Viewers", "Support", "Operators"])
def test_the_pages_of_products_are_nobodys_until_they_are_given(rows: dict[str, str], role: str) -> None:
    client = log_in_as(role)
    others = [model._meta for model in admin.site._registry if model._meta.app_label not in OURS]
    assert others
    for each in others:
        assert client.get(f"/admin/{each.app_label}/{each.model_name}/").status_code == 403
