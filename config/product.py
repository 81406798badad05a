"""What is routed where nobody says anything else: the one place here that names the reference product."""

from config.parsers import package
from proxy.env import Env

ROUTES = ("experience.routes.ROUTES",)
APPS = ("experience",)


def extra_apps(env: Env) -> tuple[str, ...]:
    """EXTRA_APPS: Django apps beside the gateway's own."""
    expected = "packages that can be imported (see PYTHONPATH), separated by commas"
    return env.several("EXTRA_APPS", package, default=APPS, expected=expected)
