"""What RabbitMQ itself says, and what becomes of it: refusals, full queues, closed channels."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from pathlib import Path

import pytest

from config.testing.rabbitmq import needs_rabbitmq
from proxy import metrics
from proxy.core.outgoing import Row
from proxy.models import OutgoingEvent
from proxy.outgoing.destination import Sent
from proxy.outgoing.tests.brokers import Rabbit
from proxy.outgoing.tests.events import (
    DEADLINE_SECONDS,
    event,
    first_seen,
    none_waits,
    sending,
    write,
    written,
)
from proxy.outgoing.writing import send_many_on_commit
from proxy.tables.executor import DatabaseExecutor
from proxy.tests.counting import counted

pytestmark = [
    needs_rabbitmq,
    pytest.mark.timeout(240),
    pytest.mark.parametrize("stored_in", ["sqlite"], indirect=True),
]
ROW = Row(1, "chat.message.k", "k", "{}", "1-1")


async def refused(rabbit: Rabbit, **options: str) -> str:
    """Why there is no session."""
    with pytest.raises(ConnectionError) as failed:
        async with rabbit.destination(**options).session():
            pass
    return str(failed.value)


async def test_the_doctor_sees_whether_there_is_an_exchange_and_declares_none(
    rabbit: Rabbit, stored_in: str
) -> None:
    looked_at = rabbit.destination(exchange=f"{rabbit.name}-nobodys")
    for _ in range(2):
        assert (await looked_at.look()).endswith("-nobodys' is declared with the first event")
    await rabbit.bind()
    assert (await rabbit.destination().look()).endswith(f"has the exchange '{rabbit.name}'")
    with pytest.raises(ConnectionError, match="Login was refused"):
        await rabbit.destination(url=f"amqp://guest:hidden@{rabbit.server.address}").look()


async def test_why_it_cannot_be_reached_is_said_in_one_line_without_the_password(
    rabbit: Rabbit, stored_in: str, tmp_path: Path
) -> None:
    address, at = rabbit.server.address, rabbit.server.address
    assert await refused(rabbit, url=f"amqp://guest:hidden@{address}") == (
        f"RabbitMQ at {at}, vhost '/' cannot be reached: ACCESS_REFUSED - Login was refused using "
        "authentication mechanism PLAIN. For details see the broker logfile."
    )
    assert await refused(rabbit, url=f"amqp://guest:guest@{address}/nowhere") == (
        f"RabbitMQ at {at}, vhost 'nowhere' cannot be reached: "
        "there is no such vhost, or it is not this user's"
    )
    assert "WRONG_VERSION_NUMBER" in await refused(rabbit, url=f"amqps://guest:hidden@{address}")
    assert "Connect call failed" in await refused(rabbit, url="amqp://guest:hidden@127.0.0.1:1")
    assert "inequivalent arg 'type'" in await refused(rabbit, exchange="amq.direct")


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    rabbit: Rabbit, stored_in: str, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"amqps://guest:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        assert "CERTIFICATE_VERIFY_FAILED" in await refused(rabbit, url=url)
        assert "CERTIFICATE_VERIFY_FAILED" not in await refused(rabbit, url=url, ca_file=str(certificate))


async def test_what_no_queue_has_asked_for_is_sent_counted_and_told_once(
    rabbit: Rabbit, database: DatabaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "unrouted")
    async with sending(rabbit.destination(exchange=f"{rabbit.name}-other")):
        await database.run(write, range(20))
        await none_waits(database)
        await database.run(write, range(20, 40))
        await none_waits(database)
    assert counted(metrics.OUTGOING_EVENTS_TOTAL, "events", "unrouted") - before == 40
    assert caplog.text.count("nobody has asked for some events for other services") == 1


async def test_a_full_queue_holds_up_its_keys_and_no_others_until_there_is_room(
    rabbit: Rabbit, database: DatabaseExecutor
) -> None:
    """The queue answers that it is full, and this is no failure of the broker's."""
    full = f"{rabbit.name}-full"
    await rabbit.bind(full, pattern="chat.message.k0", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    async with sending(rabbit.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(70))
        while await database.run(OutgoingEvent.objects.exclude(key="k0").count):
            await asyncio.sleep(0.02)
        assert await database.run(OutgoingEvent.objects.filter(key="k0").count) >= 8
        async with rabbit.channel() as channel:
            await channel.queue_delete(full)
        await none_waits(database)
    assert first_seen(await rabbit.got()) == written(70)


async def test_one_that_ends_the_channel_is_found_and_set_aside_and_others_go_on(
    rabbit: Rabbit, database: DatabaseExecutor
) -> None:
    """The user may not publish by one of the routing keys: RabbitMQ closes the channel over it."""
    user = f"user-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(rabbit.server.ctl, "add_user", user, "secret")
    await asyncio.to_thread(rabbit.server.ctl, "set_permissions", user, "", ".*", ".*")
    pattern = "^chat[.]message[.][a-z][0-57-9]$"
    words = ("set_topic_permissions", user, rabbit.name, pattern, ".*")
    await asyncio.to_thread(rabbit.server.ctl, *words)
    await database.run(write, range(5))
    await database.run(send_many_on_commit, [event(99, "k6")])
    await database.run(write, range(7, 13))
    url = f"amqp://{user}:secret@{rabbit.server.address}"
    async with sending(rabbit.destination(url=url)):
        await none_waits(database)
    (row,) = await database.run(lambda: list(OutgoingEvent.objects.values("key", "refused")))
    assert row["key"] == "k6"
    assert "access to topic 'chat.message.k6'" in row["refused"]
    numbers = first_seen(await rabbit.got())
    assert sorted(number for key in numbers.values() for number in key) == [*range(5), *range(7, 13)]
    assert all(key == sorted(key) for key in numbers.values())


async def test_an_exchange_that_is_deleted_meanwhile_is_made_again(
    rabbit: Rabbit, database: DatabaseExecutor
) -> None:
    async with sending(rabbit.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(7))
        await none_waits(database)
        async with rabbit.channel() as channel:
            await channel.exchange_delete(rabbit.name)
        await database.run(write, range(7, 14))
        await none_waits(database)
    assert first_seen(await rabbit.got()) == written(7)  # whose queue is bound to it no more


async def test_a_connection_that_the_server_closes_is_made_anew(
    rabbit: Rabbit, database: DatabaseExecutor
) -> None:
    async with sending(rabbit.destination()), asyncio.timeout(DEADLINE_SECONDS):
        await database.run(write, range(2000))
        while await rabbit.count() < 100:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(rabbit.server.ctl, "close_all_connections", "maintenance")
        await none_waits(database)
    assert first_seen(await rabbit.got()) == written(2000)


async def test_a_server_that_takes_nothing_for_want_of_memory_is_waited_for(
    rabbit: Rabbit, database: DatabaseExecutor
) -> None:
    """It reads no further from who publishes, and confirms what it had read once there is memory again."""
    await asyncio.to_thread(rabbit.server.ctl, "set_vm_memory_high_watermark", "0")
    async with sending(rabbit.destination()):
        await database.run(write, range(50))
        await asyncio.sleep(1)  # nothing tells that nothing comes
        assert await database.run(OutgoingEvent.objects.count) == 50
        await asyncio.to_thread(rabbit.server.ctl, "set_vm_memory_high_watermark", "0.4")
        await none_waits(database)
    assert first_seen(await rabbit.got()) == written(50)


async def test_a_message_is_routed_or_not(rabbit: Rabbit, stored_in: str) -> None:
    async with rabbit.destination().session() as session:
        assert await session.send(ROW) is Sent.SENT
        other = Row(2, "elsewhere", "k", "{}", "2-2")
        assert await session.send(other) is Sent.UNROUTED
