"""docs/chat-protocol.md's conversation by hand, as a shell runs it, before a gateway and a chat service."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from config.testing import documents
from config.testing.gateway import issue
from config.testing.servers import ValkeyServer
from config.tests.clients.chat_house import ChatHouse, chat_house
from config.tests.clients.conftest import must_be_here
from config.tests.clients.test_wscat_lines import BY_HAND, WSCAT, in_a_terminal, read_until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(120)]

(SCRIPT,) = (each.text for each in documents.examples(documents.read(BY_HAND)) if each.kind == "by hand")
ISSUED = re.compile(r"\$\(\S+ -m config\.dev issue_token (\w+)\)")
ENDED = "that was all"


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer) -> Iterator[ChatHouse]:
    must_be_here(WSCAT.name, *WSCAT.needs, "curl")
    valkey_server.ensure_running()
    valkey_server.flush()
    with chat_house(tmp_path_factory.mktemp("by-hand"), valkey_server.url) as house:
        yield house


def test_a_conversation_by_hand_goes_as_its_document_says(house: ChatHouse) -> None:
    script = ISSUED.sub(lambda found: issue(found[1]), SCRIPT)
    script = script.replace("127.0.0.1:8666", f"127.0.0.1:{house.gateway.port}")
    answers = re.findall(r"  # (.+)$", SCRIPT, re.MULTILINE)
    assert len(answers) == 5
    whole = shlex.quote(f"{script}\necho {ENDED}\n")
    with in_a_terminal(f"sh -c {whole}") as terminal:
        said = read_until(terminal, ENDED)
    for answer in answers:
        _, found, said = said.partition(answer)
        assert found, answer
