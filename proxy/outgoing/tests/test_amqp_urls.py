from __future__ import annotations

import pytest

from proxy.outgoing.to_rabbitmq import ToRabbitMQ, amqp_server


@pytest.mark.parametrize(
    "url",
    [
        "http://host", "amqp://", "amqp://host:port", "amqp://host/a/b", "amqp://host/v?heartbeat=0",
        "amqp://user:pass/word@host/", "amqp://host#x",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_rabbitmq_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        amqp_server(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("amqp://user:hidden@host", "host:5672, vhost '/'"),
        ("amqps://user:hidden@host", "host:5671, vhost '/'"),
        ("amqp://user:hi%2Fd@host:1234/%2F", "host:1234, vhost '/'"),
        ("amqp://host/shop", "host:5672, vhost 'shop'"),
    ],
)
def test_where_it_is_can_be_told_without_what_is_secret(url: str, address: str) -> None:
    assert amqp_server(url) == url
    assert ToRabbitMQ("events", url=url, exchange="chat").address == address
