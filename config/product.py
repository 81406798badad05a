"""What is routed where nobody says anything else: the one place here that names the reference product."""

from collections.abc import Iterable

from config.parsers import dotted_path, package
from proxy.env import Env

ROUTES = ("experience.routes.ROUTES",)
APPS = ("experience", "experience.chat")


def routes(env: Env) -> tuple[str, ...]:
    """ROUTES: where the routes are, imported by proxy/registry.py."""
    expected = "dotted paths separated by commas, such as orders.routes.ROUTES"
    return env.several("ROUTES", dotted_path, default=ROUTES, expected=expected)


def has_routes(app: str, names: Iterable[str]) -> bool:
    """Whether one of those dotted paths leads into the app's package."""
    return any(name.startswith(f"{app}.") for name in names)


def extra_apps(env: Env) -> tuple[str, ...]:
    """EXTRA_APPS: Django apps beside the gateway's own."""
    expected = "packages that can be imported (see PYTHONPATH), separated by commas"
    return env.several("EXTRA_APPS", package, default=APPS, expected=expected)
