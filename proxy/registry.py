"""The routes of this gateway: what ROUTES names, imported once; router, node and pages ask here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module

from django.conf import settings

from proxy.core.captures import captured_by, shape_of
from proxy.core.history import History
from proxy.core.limits import ConnectionLimits
from proxy.core.routes import Route, Upstream
from proxy.core.topics import LINK_KINDS, TopicKind, node_topic
from proxy.env import SettingError, env


@cache
def routes() -> tuple[Route, ...]:
    """All routes, in the order in which their paths are tried.

    Raises:
        SettingError: ROUTES names what is not there or is no route; or two routes have a name or a path in
            common, or the name of what is behind them or of their limits, which are others for each. What
            fails inside of an imported module is raised as it is.
    """
    found = tuple(route for name in settings.ROUTES for route in routes_at(name))
    behind = [route.upstream for route in found]
    different = [each for place, each in enumerate(behind) if each not in behind[:place]]
    for what, twice in (
        ("are named", _twice(route.name for route in found)),
        ("are at", _twice(_paths(found))),
        ("have different upstreams named", _twice(each.name for each in different)),
        ("have different connection_limits named", _twice(each.name for each in {*map(caps_of, found)})),
        ("have different kinds of topics named", _twice(kind.name for kind in {*_kinds(found)})),
    ):
        if twice is not None:
            raise SettingError("ROUTES", f"different routes; two {what} {twice!r}")
    return found


_only = set[str]()


def serve_only(names: Iterable[str]) -> None:
    """Have this process answer on the routes of these names, and on no others. All are known nevertheless:
    their topics can be published to, and staff see their pools. To be called before `served` is asked.

    Raises:
        ValueError: there is no route of a name, or no name.
    """
    chosen, known = set(names), {route.name for route in routes()}
    if not chosen or not chosen <= known:
        raise ValueError(f"names of routes, separated by commas: {', '.join(sorted(known))}")
    _only.update(chosen)


def served() -> tuple[Route, ...]:
    """The routes that this process answers on."""
    return tuple(route for route in routes() if not _only or route.name in _only)


def caps_of(route: Route) -> ConnectionLimits:
    """What bounds the route's connections: its own word, else what settings say for all."""
    caps = env.limits_of_all() if route.connection_limits is None else route.connection_limits
    return caps if caps.name else replace(caps, name=route.name)


def captures_of(pool: str) -> frozenset[str]:
    """What each path that leads to the pool of that name captures: a member's URL may name nothing else."""
    patterns = [path for route in routes() if route.upstream.name == pool for path in route.paths]
    return frozenset.intersection(*map(captured_by, patterns)) if patterns else frozenset()


def upstreams() -> tuple[Upstream, ...]:
    """The services of all routes that have any, each once."""
    found = (route.upstream for route in routes() if isinstance(route.upstream, Upstream))
    return tuple({upstream.name: upstream for upstream in found}.values())


def upstream(name: str) -> Upstream:
    """The services of that name; none, where no route has them."""
    return next((each for each in upstreams() if each.name == name), Upstream(name=name, members=()))


def topic_kinds() -> tuple[TopicKind, ...]:
    """Every kind of topic that somebody may hear: links of any route, nodes, and what routes declare."""
    return tuple(dict.fromkeys(_kinds(routes())))


def history_of(topic: str) -> History | None:
    """What the topic remembers of its events; None: nothing."""
    name = topic.partition(":")[0]
    return next((kind.history for kind in topic_kinds() if kind.name == name), None)


def routes_at(name: str) -> tuple[Route, ...]:
    """The route, or the routes, at the dotted path `name`."""
    module, _, attribute = name.rpartition(".")
    try:
        holder = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise SettingError("ROUTES", f"importable; {name} is not: {error}") from None
    if not hasattr(holder, attribute):
        raise SettingError("ROUTES", f"importable; {module} has no {attribute}")
    found = getattr(holder, attribute)
    among = (found,) if isinstance(found, Route) else found
    if not isinstance(among, Iterable) or not (held := tuple(among)):
        raise SettingError("ROUTES", f"routes, or tuples of them; {name} is none and holds none")
    for each in held:
        if not isinstance(each, Route):
            raise SettingError("ROUTES", f"routes, or tuples of them; {name} holds a {type(each).__name__}")
    return held


def _kinds(found: Iterable[Route]) -> tuple[TopicKind, ...]:
    return (*LINK_KINDS, node_topic, *(kind for route in found for kind in route.topic_kinds))


def _paths(found: Iterable[Route]) -> Iterator[str]:
    return (shape_of(path) for route in found for path in route.paths)


def _twice(names: Iterable[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)
