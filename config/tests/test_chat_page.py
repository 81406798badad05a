"""/chat/: there only where it is asked for, and nothing in it that the gateway's own policy would not run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from config.testing.gateway import Gateway
from config.tests.conftest import MakeGateway
from experience import dev

IMPORTED = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)";""", re.MULTILINE)


@pytest.fixture
def client(make_gateway: MakeGateway) -> Iterator[httpx.Client]:
    gateway: Gateway = make_gateway(CHAT_PAGE="true")
    with httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30, trust_env=False) as client:
        yield client


def test_the_page_and_every_module_it_imports_are_served_under_the_policy(client: httpx.Client) -> None:
    page = client.get("/chat/")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page.text)
    wanted = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(wanted) == 3
    seen = dict[str, str]()
    while wanted:
        path = wanted.pop()
        answer = client.get(path)
        assert answer.status_code == 200, path
        seen[path] = answer.headers["Content-Type"].partition(";")[0]
        if path.endswith(".js"):
            wanted += {urljoin(path, each) for each in IMPORTED.findall(answer.text)} - seen.keys()
    assert seen["/static/sluicegate-client/chat.js"] == seen["/static/chat/thread.js"] == "text/javascript"
    assert seen["/static/chat/page.css"] == "text/css"


def test_there_is_no_page_where_nobody_asked_for_one(make_gateway: MakeGateway) -> None:
    gateway = make_gateway()
    assert httpx.get(f"http://127.0.0.1:{gateway.port}/chat/", trust_env=False, timeout=30).status_code == 404


@pytest.mark.parametrize(("services", "pages"), [(("http://127.0.0.1:8084",), 2), ((), 0)])
def test_make_run_names_the_page_where_there_is_a_chat_to_talk_on(
    monkeypatch: pytest.MonkeyPatch, services: tuple[str, ...], pages: int
) -> None:
    monkeypatch.setattr("experience.settings.CHAT_PAGE", True)
    monkeypatch.setattr("experience.settings.CHAT_SERVICE_URLS", services)
    assert dev.banner(address="here:1", token="t", python="python").count("/chat/#token=") == pages
