"""How sockets reach the orders: /shops/SHOP/orders."""

import json
from collections.abc import Iterable

from prometheus_client import Counter

from proxy.api import (
    FORWARD,
    Close,
    Forbidden,
    Forward,
    Policy,
    Probe,
    Route,
    Subject,
    TopicKind,
    Upstream,
    Verdict,
    child,
    env,
)

SHOP = TopicKind("shop")
MESSAGES = Counter("orders_messages_total", "Messages of clients, by what they were.", labelnames=("kind",))
NOT_AN_ORDER = '{"type":"error","code":"not_an_order","message":"Send {\\"item\\": TEXT}."}'
MOST_MISTAKES = 3


def authorize(subject: Subject) -> None:
    """A token names the shops of its user."""
    shops = subject.principal.claims.get("shops")
    if not isinstance(shops, list) or subject.params["shop"] not in shops:
        raise Forbidden(message="You do not work in this shop.")


def topics(subject: Subject) -> Iterable[str]:
    return (SHOP(subject.params["shop"]),)


class OrdersOnly(Policy):
    """Lets orders through. A mistake is answered, and the third one closes the link."""

    def __init__(self, _: Subject) -> None:
        self._mistakes = 0

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        if is_text and is_order(payload):
            child(MESSAGES, "order").inc()
            return FORWARD
        child(MESSAGES, "mistake").inc()
        self._mistakes += 1
        if self._mistakes < MOST_MISTAKES:
            return Verdict(forward=False, reply=NOT_AN_ORDER)
        return Verdict(forward=False, close=Close(1008, "too many mistakes"))


def is_order(payload: bytes) -> bool:
    try:
        order = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(order, dict) and isinstance(order.get("item"), str)


ORDERS = Route(
    name="orders",
    paths=("shops/<slug:shop>/orders",),
    upstream=Upstream.of(
        "orders", *env.service_urls("ORDERS_URLS"), path="/shops/{shop}", probe=Probe.of("http")
    ),
    forward=Forward(identity=True),
    authorize=authorize,
    topics=topics,
    topic_kinds=(SHOP,),
    policy=OrdersOnly,
    connection_limits=env.connection_limits("orders", per_ip=20, per_user=3, rate="20/s"),
    bounds=env.link_bounds("orders"),
)
ROUTES = (ORDERS,)
