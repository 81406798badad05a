"""What others publish to a real NATS in bytes of their own, and a bridge that goes on."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from config.testing.certificates import write_self_signed
from config.testing.servers import JetStreamServer, NatsServer, ValkeyServer
from proxy.bridges.bridge import Broker
from proxy.bridges.inbox import Inbox
from proxy.bridges.jetstream import JetStreamBroker
from proxy.bridges.nats import NatsBroker, connected, nats_client
from proxy.bridges.tests.test_inbox import Node, number
from proxy.bridges.tests.test_jetstream import BRIDGED

NO_HEADERS = (
    b"NATS/1.0 \xff\xfe\xfd\r\n\r\n",
    b"NATS/1.0 503 \xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
    b"NATS/1.0",
    b"\xff\xff\r\n\r\n",
)


def publish_odd_bytes(server: JetStreamServer) -> int:
    """The last number of those that are published, from 0 on."""
    server.publish_raw(b"a.\xff.all", number(0))
    server.publish_raw(b"a.user.ann", number(1), reply=b"\xff")
    for value, headers in enumerate(NO_HEADERS, 2):
        server.publish_raw(b"a.user.ann", number(value), headers=headers)
    return 1 + len(NO_HEADERS)


def plain(server: JetStreamServer) -> Broker:
    return NatsBroker("nats", servers=[server.url], bridged=BRIDGED)


def of_stream(server: JetStreamServer) -> Broker:
    return JetStreamBroker("jetstream", servers=[server.url], bridged=BRIDGED, stream="A")


@pytest.mark.parametrize("made", [plain, of_stream])
async def test_no_bytes_that_somebody_publishes_end_a_session(
    stream: JetStreamContext, jetstream: JetStreamServer, made: Callable[[JetStreamServer], Broker]
) -> None:
    node = Node()
    inbox = Inbox("nats", node.workplace)
    async with asyncio.timeout(20), made(jetstream).session(inbox) as session:
        await session.subscribe(["user:ann", "everyone"])
        work = [asyncio.create_task(each) for each in (inbox.deliver_forever(), session.last())]
        last = await asyncio.to_thread(publish_odd_bytes, jetstream)
        while len(node.did) <= last and not work[1].done():
            await asyncio.sleep(0.01)
        for task in work:
            task.cancel()
    assert node.did == list(range(last + 1))


async def test_a_server_that_cannot_be_reached_is_named_without_its_password_and_says_why() -> None:
    servers = ["nats://ann:secret@127.0.0.1:1", "nats://no-such-host.invalid:4222"]
    broker = NatsBroker("nats", servers=servers, bridged=BRIDGED)
    with pytest.raises(ConnectionError) as refused:
        async with asyncio.timeout(20), broker.session(Inbox("nats", Node().workplace)):
            pass
    says = str(refused.value)
    assert "127.0.0.1:1, no-such-host.invalid:4222" in says
    assert "Connect call failed" in says or "Name or service not known" in says
    assert "secret" not in says


async def test_one_who_speaks_something_else_is_named(valkey: ValkeyServer) -> None:
    broker = NatsBroker("nats", servers=[f"nats://127.0.0.1:{valkey.port}"], bridged=BRIDGED)
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{valkey.port}"):
        async with asyncio.timeout(20), broker.session(Inbox("nats", Node().workplace)):
            pass


class ServerOfBoth(NatsServer):
    """NATS that takes clients with TLS and without, and the latter's passwords in the clear."""

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        certificate, file = self.directory / "nats.pem", self.directory / "nats.conf"
        write_self_signed(certificate)
        file.write_text(
            f'tls {{ cert_file: "{certificate}", key_file: "{certificate}" }}\nallow_non_tls: true\n'
        )
        return [*super().argv(), "--config", file]


@pytest.fixture
def server_of_both(tmp_path: Path) -> Iterator[ServerOfBoth]:
    server = ServerOfBoth(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_a_url_of_tls_is_never_served_in_the_clear(nats: NatsServer) -> None:
    broker = NatsBroker("nats", servers=[nats.url.replace("nats:", "tls:")], bridged=BRIDGED)
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{nats.port} offers no TLS"):
        async with asyncio.timeout(20), broker.session(Inbox("nats", Node().workplace)):
            pass


async def test_a_url_of_tls_takes_the_tls_that_a_server_offers(
    server_of_both: ServerOfBoth, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = ssl.create_default_context(cafile=server_of_both.directory / "nats.pem")
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    servers = [server_of_both.url.replace("nats:", "tls:")]
    async with asyncio.timeout(20), connected(nats_client(), bridge="nats", servers=servers) as connection:
        subscription = await connection.client.subscribe("news")
        await connection.client.publish("news", b"hello")
        assert (await subscription.next_msg(timeout=5)).data == b"hello"
        transport: Any = connection.client._transport
        assert transport._io_writer.get_extra_info("ssl_object") is not None
