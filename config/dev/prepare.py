"""What a development run needs in its database, in one short-lived process: `python -m config.dev.prepare`.

Prints one JSON object: `told`, what to open and how, with a token of the demonstration client; `replaced`, by
pool, the members that rows put in place of the settings; and, in a database of this checkout, the admin
`login` as [name, password].
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from pathlib import Path

TOKEN_SECONDS = 12 * 3600


def main(*, own_database: bool, python: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    from proxy.tables.pools_overview import replaced_members

    call_command("migrate", verbosity=0, interactive=False)
    prepared: dict[str, object] = {"told": _told(python), "replaced": replaced_members()}
    # A login that anyone can read in var/ belongs in this checkout's own database only, and never beside
    # production settings.
    if settings.DEBUG and own_database:
        prepared["login"] = ["admin", _admin_password(Path(settings.VAR_DIR) / "admin_password")]
    sys.stdout.write(json.dumps(prepared))


def _told(python: str) -> str:
    """What the apps' `dev` modules say of the routes in their packages, and the paths of all others."""
    from django.conf import settings

    from config import product
    from config.dev.banner import of_routes
    from config.dev.services import dev_modules
    from proxy.env import env
    from proxy.registry import routes_at
    from proxy.tables.pools_overview import empty_pools

    place = {"address": f"127.0.0.1:{settings.GATEWAY_PORT}", "token": _token(), "python": python}
    said, silent = [], list(settings.ROUTES)
    for module in dev_modules(env):
        app = module.__name__.removesuffix(".dev")
        if hasattr(module, "banner") and product.has_routes(app, settings.ROUTES):
            said.append(module.banner(**place))
            silent = [name for name in silent if not product.has_routes(app, [name])]
    others = [route for name in silent for route in routes_at(name)]
    if others:
        said.append(of_routes(others, **place, empty_pools=empty_pools()))
    return "\n".join(said)


def _token() -> str:
    """As short as the gateway takes it, since it is printed; `issue_token` makes those for other services."""
    from django.conf import settings

    from proxy.tokens import token_verifier

    now = int(time.time())
    claims = {settings.JWT_USER_ID_CLAIM: "demo", "iat": now, "exp": now + TOKEN_SECONDS}
    return token_verifier().backend.encode(claims)


def _admin_password(path: Path) -> str:
    """The password of `admin`, random, one for the life of the checkout's database."""
    from django.contrib.auth import get_user_model

    users = get_user_model()
    admin = users._default_manager.filter(username="admin").first()
    if path.exists() and admin is not None:
        return path.read_text()
    password = secrets.token_urlsafe(12)
    path.touch(mode=0o600)
    path.write_text(password)
    if admin is None:
        admin = users(username="admin", is_staff=True, is_superuser=True)
    admin.set_password(password)  # in the save that makes it: of one that was there it would take tokens back
    admin.save()
    return password


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-database", action="store_true", help="it is this checkout's")
    parser.add_argument("--python", required=True, help="what to type for this Python")
    main(**vars(parser.parse_args()))
