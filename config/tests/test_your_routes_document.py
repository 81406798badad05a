"""docs/your-routes.md, played from nothing: files written, commands typed, beside a copy of the checkout."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from config.testing import documents
from config.testing.documents import examples
from config.testing.plugin import Spawn
from config.testing.program import Program, free_port
from config.testing.starts import BASE_DIR

DOCUMENT = documents.read("your-routes.md")
EXAMPLES = list(examples(DOCUMENT))
FILES = {example.kind: f"{example.text}\n" for example in EXAMPLES if example.language == "python"}
COPIED = ("config", "experience", "proxy", "templates", "manage.py")


def of_kind(kind: str) -> list[str]:
    return [example.text for example in EXAMPLES if example.kind == kind]


def shell(kind: str, *, port: int) -> str:
    """The one command of that kind, on the gateway at `port` and by the Python that runs this test."""
    (text,) = of_kind(kind)
    text = text.replace(".venv/bin/python", sys.executable).replace("127.0.0.1:8666", f"127.0.0.1:{port}")
    ports = f"GATEWAY_PORT={port} ORDERS_PORT={free_port()}"  # other tests may want the usual ones
    return text.replace("make run", f"{ports} exec {sys.executable} -m config.dev")


def test_the_files_of_the_document_are_those_of_the_example() -> None:
    root = BASE_DIR / "examples/orders"
    kept = {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.py")}
    assert {name: text for name, text in kept.items() if text} == FILES


def test_the_image_sets_what_the_tutorial_sets() -> None:
    (image,), (run,) = of_kind("image"), of_kind("run")
    assert dict(re.findall(r"(\w+)=(\S+)", image)) == dict(re.findall(r"(\w+)=(\S+)", run)) | {
        "PYTHONPATH": "/srv/shop"
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The product's files, and beside them the directory `shop` with what the document says."""
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    directory = tmp_path / "sluicegate"
    directory.mkdir()
    for name in COPIED:
        source = BASE_DIR / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=ignored)
        else:
            shutil.copy(source, directory / name)
    for name, text in FILES.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in ("orders", "orders/management", "orders/management/commands"):
        (tmp_path / "shop" / package / "__init__.py").touch()
    return directory


def test_the_tutorial_leads_where_it_says(checkout: Path, spawn: Spawn) -> None:
    port = free_port()

    def played(kind: str, **options: object) -> Program:
        return spawn(["sh", "-c", shell(kind, port=port)], name=kind, cwd=checkout, **options)  # type: ignore[arg-type]

    run = played("run", ready="^Sluicegate is up", within_seconds=50)
    run.wait_for_output(rf"^  orders +ws://127.0.0.1:{port}/shops/\{{shop\}}/orders\?token=TOKEN$")

    ask = f'{shell("token", port=port)}; echo "$TOKEN"'
    asked = spawn(["sh", "-c", ask], name="token", cwd=checkout)
    assert asked.wait_for_exit(within_seconds=30) == 0, asked.output
    token = asked.output.strip()
    said = of_kind("client")
    answers = [json.loads(text) for text in of_kind("answer")]
    keyboard = f"(echo {shlex.quote(said[1])}; exec sleep 30)"  # stays open; ended with the test
    talk = f"TOKEN={token}; {keyboard} | {shell('talk', port=port)}"
    talking = spawn(["sh", "-c", talk], name="talk", cwd=checkout)
    talking.wait_for_output("not_an_order", within_seconds=30)

    url = f"ws://127.0.0.1:{port}/shops/north/orders?token={token}"
    with connect(url, proxy=None, open_timeout=10) as client:
        client.send(said[0])
        assert json.loads(client.recv(10)) == answers[0]
        assert played("ready").wait_for_exit(within_seconds=30) == 0
        (event,) = of_kind("event")
        assert json.loads(client.recv(10)) == json.loads(event)

        written = played("migrations")
        assert written.wait_for_exit(within_seconds=30) == 0, written.output
        assert "No changes detected in app 'orders'" in written.output  # which has no models

        listed = played("connections")
        assert listed.wait_for_exit(within_seconds=30) == 0, listed.output
        assert " ada " in listed.output
        assert " orders " in listed.output

        fetched, metric = re.findall(r"curl -s (\S+) \| grep (\S+)", shell("metrics", port=port))[0]
        told = [line for line in httpx.get(fetched).text.splitlines() if metric in line and line[0] != "#"]
        (counted,) = of_kind("counted")
        assert sorted(line for line in told if "_total{" in line) == sorted(counted.splitlines())

        for _ in range(2):
            client.send(said[1])
            assert json.loads(client.recv(10)) == answers[1]
        client.send(said[1])
        with pytest.raises(ConnectionClosedError):
            client.recv(10)
    assert client.protocol.close_code == 1008

    with pytest.raises(InvalidStatus) as refused:
        connect(url.replace("north", "south"), proxy=None, open_timeout=10)
    (refusal,) = of_kind("refusal")
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"") == json.loads(refusal)


def test_every_block_of_the_document_is_played() -> None:
    known = {*FILES, "run", "token", "talk", "client", "answer", "refusal", "ready", "event", "connections"}
    assert {example.kind for example in EXAMPLES} == known | {"metrics", "counted", "image", "migrations"}
