"""What ROUTES names, as a start takes it or says why not."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from proxy import registry
from proxy.core.history import History
from proxy.core.limits import ConnectionLimits, Rate
from proxy.core.routes import Route, Upstream
from proxy.core.topics import TopicKind
from proxy.env import Env, SettingError
from proxy.registry import caps_of

ROUTE = Route(name="a", paths=("a",), upstream=Upstream.of("a", "ws://127.0.0.1:1"))
OTHER = replace(ROUTE, name="b", paths=("b",))
BRIEF = History(events=1, seconds=1)
ELSEWHERE = Upstream.of("a", "ws://127.0.0.1:2")


def limited(route: Route, **limits: Any) -> Route:
    return replace(route, connection_limits=ConnectionLimits(**limits))


def test_routes_may_share_their_limits(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    shared = [limited(route, name="shop", per_user=1) for route in (ROUTE, OTHER)]
    assert told(monkeypatch, settings, "shop.R", R=shared) == tuple(shared)


def test_a_route_has_the_limits_of_all_unless_it_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "env", Env({}))
    assert caps_of(ROUTE) == ConnectionLimits(name="a", per_address=10, per_user=5, connect_rate=Rate(20, 1))
    of_all = {"MAX_CONNECTIONS_PER_IP": "7", "MAX_CONNECTIONS_PER_USER": "8", "CONNECT_RATE_PER_IP": "9/m"}
    monkeypatch.setattr(registry, "env", Env(of_all))
    assert caps_of(ROUTE) == ConnectionLimits(name="a", per_address=7, per_user=8, connect_rate=Rate(9, 60))
    assert caps_of(limited(ROUTE, per_user=2)) == ConnectionLimits(name="a", per_user=2)


def told(monkeypatch: pytest.MonkeyPatch, settings: Any, *names: str, **held: object) -> tuple[Route, ...]:
    """The routes of ROUTES=`names`, where the module `shop` holds `held`."""
    module = ModuleType("shop")
    vars(module).update(held)
    monkeypatch.setitem(sys.modules, "shop", module)
    settings.ROUTES = names
    return registry.routes.__wrapped__()


def test_a_route_and_tuples_of_routes_are_taken_in_their_order(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    found = told(monkeypatch, settings, "shop.B", "shop.ROUTES", B=OTHER, ROUTES=[ROUTE])
    assert found == (OTHER, ROUTE)


@pytest.mark.parametrize(
    ("name", "held", "line"),
    [
        ("market.routes.ROUTES", None, "importable; market.routes.ROUTES is not: No module named 'market'"),
        ("shop.ROUTES", None, "importable; shop has no ROUTES"),
        ("shop.R", (), "routes, or tuples of them; shop.R is none and holds none"),
        ("shop.R", None, "routes, or tuples of them; shop.R is none and holds none"),
        ("shop.R", [ROUTE, "b"], "routes, or tuples of them; shop.R holds a str"),
        ("shop.R", [ROUTE, replace(OTHER, name="a")], "different routes; two are named 'a'"),
        ("shop.R", [ROUTE, replace(OTHER, paths=("c", "a"))], "different routes; two are at 'a'"),
        (
            "shop.R",
            [limited(ROUTE, name="b"), limited(OTHER, per_user=1)],
            "different routes; two have different connection_limits named 'b'",
        ),
        (
            "shop.R",
            [ROUTE, replace(OTHER, upstream=ELSEWHERE)],
            "different routes; two have different upstreams named 'a'",
        ),
        (
            "shop.R",
            [
                replace(ROUTE, topic_kinds=(TopicKind("room"),)),
                replace(OTHER, topic_kinds=(TopicKind("room", history=BRIEF),)),
            ],
            "different routes; two have different kinds of topics named 'room'",
        ),
        (
            "shop.R",
            [replace(ROUTE, topic_kinds=(TopicKind("user", history=BRIEF),))],
            "different routes; two have different kinds of topics named 'user'",
        ),
        ("shop.R", [replace(ROUTE, paths=("<a>", "<str:b>"))], "different routes; two are at '<str>'"),
    ],
)
def test_what_is_wrong_stops_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, settings: Any, name: str, held: object, line: str
) -> None:
    with pytest.raises(SettingError) as stopped:
        told(monkeypatch, settings, name, R=held)
    assert str(stopped.value) == f"ROUTES: must be {line}"


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("import no_such_library", ModuleNotFoundError, "no_such_library"),
        ("import os; os.no_such_name", AttributeError, "no_such_name"),
    ],
)
def test_what_a_module_of_routes_lacks_itself_is_told_with_where(
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    tmp_path: Any,
    line: str,
    error: type[Exception],
    said: str,
) -> None:
    (tmp_path / "stall.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=said):
        told(monkeypatch, settings, "stall.ROUTES")
