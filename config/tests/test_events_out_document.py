"""docs/events-out.md: its lines and programs, on a running gateway and real brokers that are killed."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable

import pytest

from config.testing import documents
from config.testing.documents import examples, table
from config.testing.gateway import Gateway
from config.testing.plugin import Spawn
from config.testing.program import Program
from config.testing.rabbitmq import RabbitMQServer, needs_rabbitmq
from config.testing.servers import JetStreamServer, Server
from config.tests.conftest import MakeGateway
from experience.chat import outgoing
from experience.chat.messages import ConversationBlocked, ConversationUnblocked
from proxy import work

DOCUMENT = documents.read("events-out.md")
EXAMPLES = {example.kind: example.text for example in examples(DOCUMENT) if example.kind}
pytestmark = pytest.mark.timeout(240)  # RabbitMQ takes its time to start
NOTIFIED = "notify bob: alice in c1: hello"


def listening(spawn: Spawn, kind: str, url: str) -> Program:
    """The example's program, with what the document says but for the URL."""
    _, program, *words = shlex.split(EXAMPLES[kind])
    assert words[0] == "--url"
    return spawn([sys.executable, program, "--url", url], name=f"from-{kind}")


def lines(program: Program) -> list[str]:
    return [line for line in program.output.splitlines() if line.startswith("notify")]


async def played(gateway: Gateway, server: Server, listener: Callable[[], Program]) -> None:
    """Events before and after the broker was killed, while a listener stays, and for one that comes later."""
    code = EXAMPLES["chat"]
    program = listener()
    async with asyncio.timeout(110):
        await asyncio.to_thread(program.wait_for_output, f"^{NOTIFIED}$", within_seconds=60)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", code.replace("hello", "are you there?"))
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(program.wait_for_output, "are you there", within_seconds=60)
        assert lines(program) == [NOTIFIED, NOTIFIED.replace("hello", "are you there?")]
        program.kill()
        await asyncio.to_thread(gateway.manage, "shell", "-v0", "-c", code.replace("hello", "bye"))
        again = listener()
        await asyncio.to_thread(again.wait_for_output, "bye", within_seconds=60)
    assert "again in a second: " in program.output
    assert "Traceback" not in program.output
    assert lines(again)[-1] == NOTIFIED.replace("hello", "bye")


async def test_a_listener_on_jetstream_hears_each_event_once_over_a_restart(
    make_gateway: MakeGateway, jetstream: JetStreamServer, spawn: Spawn
) -> None:
    gateway = make_gateway(NATS_URL=jetstream.url)
    gateway.manage("shell", "-v0", "-c", EXAMPLES["chat"])
    await played(gateway, jetstream, lambda: listening(spawn, "nats", jetstream.url))


@needs_rabbitmq
async def test_a_listener_on_rabbitmq_hears_each_event_once_over_a_restart(
    make_gateway: MakeGateway, rabbitmq: RabbitMQServer, spawn: Spawn
) -> None:
    gateway = make_gateway(AMQP_URL=rabbitmq.url)
    program = listening(spawn, "rabbitmq", rabbitmq.url)
    queues = shlex.split("list_queues name messages")
    assert "`rabbitmqctl list_queues name messages`" in DOCUMENT
    while "notifications\t0" not in await asyncio.to_thread(rabbitmq.ctl, *queues):
        await asyncio.sleep(0.1)  # its queue is bound before anything is sent
    gateway.manage("shell", "-v0", "-c", EXAMPLES["chat"])

    def listener() -> Program:
        return program if program.running else listening(spawn, "rabbitmq", rabbitmq.url)

    await played(gateway, rabbitmq, listener)


async def test_a_product_of_its_own_writes_and_sends_by_the_examples(
    make_gateway: MakeGateway, jetstream: JetStreamServer
) -> None:
    gateway = make_gateway()
    gateway.manage("shell", "-v0", "-c", EXAMPLES["write"])
    assert gateway.rows("SELECT subject, key FROM proxy_outgoingevent") == [
        {"subject": "shop.order.ready.7", "key": "order 7"}
    ]


def test_the_example_of_background_work_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_told", {})
    exec(compile(EXAMPLES["send"], "events-out.md", "exec"), {})
    assert list(work.told()) == ["shop-events"]


def test_the_subjects_of_the_document_are_those_that_are_used() -> None:
    created = outgoing.message_created(
        "CONVERSATION", message_id="1", sender_id="a", text="", created_at=0, participants=[]
    )
    users = {"by_user_id": "a", "target_user_id": "b"}
    blocked = outgoing.of_a_block(ConversationBlocked("CONVERSATION", **users))
    unblocked = outgoing.of_a_block(ConversationUnblocked("CONVERSATION", **users))
    rows = table(DOCUMENT, "subject, or routing key", "the body, in JSON")
    assert [subject for subject, _ in rows] == [created.subject, blocked.subject, unblocked.subject]
