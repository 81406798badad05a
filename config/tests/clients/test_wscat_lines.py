"""Every line with wscat that stands in a document, as a shell runs it, before the reference services."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import ioctl

import pytest

from config.testing import documents
from config.testing.gateway import issue
from config.testing.starts import BASE_DIR
from config.tests.clients.conftest import Cell
from config.tests.clients.node import Node, new_user
from config.tests.clients.programs import KINDS, NODE_MODULES

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

WSCAT = next(kind for kind in KINDS if kind.name == "wscat")
LINE = re.compile(r"^\$? ?(wscat -.*?)(?:  # (.+))?$", re.MULTILINE)
BY_HAND = "chat-protocol.md"  # whose lines are played in their order, before a chat (test_chat_by_hand.py)
AUTHORITY = re.compile(r"wss?://[\w.-]+(:\d+)?/")
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a document, and what it says that wscat says."""

    document: str
    words: str
    says: str

    def __str__(self) -> str:
        return f"{self.document}:{self.words}"


def lines() -> list[Line]:
    documents = [BASE_DIR / "README.md", *sorted((BASE_DIR / "docs").glob("*.md"))]
    return [
        Line(document.name, words, says or ("> " if "--execute" in words else "Connected"))
        for document in documents
        if document.name != BY_HAND
        for words, says in LINE.findall(document.read_text())
    ]


LINES = lines()


@contextmanager
def in_a_terminal(words: str, **env: str) -> Iterator[int]:
    """The line as a shell runs it; yields where a person would read. What was started ends."""
    terminal, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 10_000, 0, 0))
    environment = {"PATH": f"{NODE_MODULES / '.bin'}:{os.environ['PATH']}", **env}
    with subprocess.Popen(
        ["sh", "-c", f"exec {words}"], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, env=environment
    ) as wscat:
        os.close(theirs)
        try:
            yield terminal
        finally:
            wscat.kill()
            os.close(terminal)


def read_until(terminal: int, text: str) -> str:
    """All that was said until `text` was, the program ended, or time was up."""
    said, deadline = "", time.monotonic() + ANSWER_SECONDS
    while text not in said and (left := deadline - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            heard = b""
            with suppress(OSError):  # as Linux tells the end
                heard = os.read(terminal, 1 << 16)
            if not heard:
                break
            said += re.sub(r"\x1b\[[\d;]*\w", "", heard.decode(errors="replace")).replace("\r", "")
    return said


def bought(node: Node, token: str) -> str:
    """A ticket, by the line of the document that buys one."""
    (words,) = re.findall(r"^TICKET=\$\((curl .*)\)$", documents.read("protocol.md"), re.MULTILINE)
    words = words.replace("127.0.0.1:8666", f"127.0.0.1:{node.gateway.port}")
    env = {"PATH": os.environ["PATH"], "TOKEN": token}
    told = subprocess.check_output(["sh", "-c", words], env=env, text=True, timeout=30)
    return told.strip()


def test_the_documents_have_some() -> None:
    assert {"README.md", "protocol.md", "proxies.md"} <= {line.document for line in LINES}


@pytest.mark.parametrize("node", [Cell(server="serve", path="", kind=WSCAT)], ids=str, indirect=True)
@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_line_does_what_its_document_says(node: Node, line: Line) -> None:
    words, moved = AUTHORITY.subn(f"ws://127.0.0.1:{node.gateway.port}/", line.words)
    assert moved == 1
    user = new_user()
    tokens = {"TOKEN": issue(user), "EXPIRED": issue(user, minutes=-60)}
    if "$TICKET" in line.words:
        tokens["TICKET"] = bought(node, tokens["TOKEN"])
    with in_a_terminal(words, **tokens) as terminal:
        assert line.says in read_until(terminal, line.says)
