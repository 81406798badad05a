"""The routes of this gateway, told by the product at import, asked by the engine at run time."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.routes import Route

_routes: dict[str, Route] = {}


def register(routes: Iterable[Route]) -> None:
    """Make `routes` known; done once, by the composition root.

    Raises:
        ValueError: a name is taken by another route.
    """
    for route in routes:
        if _routes.setdefault(route.name, route) is not route:
            raise ValueError(f"two routes are named {route.name!r}")


def routes() -> tuple[Route, ...]:
    """All registered routes."""
    return tuple(_routes.values())
