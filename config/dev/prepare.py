"""What a development run needs in its database, in one short-lived process: `python -m config.dev.prepare`.

Prints one JSON object: `token` for the demonstration client, `replaced`, by pool, the members that rows put
in place of the settings, and, in a database of this checkout, the admin `login` as [name, password].
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from pathlib import Path

TOKEN_SECONDS = 12 * 3600


def main(*, own_database: bool) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    from proxy.admin.pools_overview import replaced_members

    call_command("migrate", verbosity=0, interactive=False)
    prepared: dict[str, object] = {"token": _token(), "replaced": replaced_members()}
    # A login that anyone can read in var/ belongs in this checkout's own database only, and never beside
    # production settings.
    if settings.DEBUG and own_database:
        prepared["login"] = ["admin", _admin_password(Path(settings.VAR_DIR) / "admin_password")]
    sys.stdout.write(json.dumps(prepared))


def _token() -> str:
    """As short as the gateway takes it, since it is printed; `issue_token` makes those for other services."""
    from django.conf import settings

    from proxy.tokens import token_verifier

    expires_at = int(time.time()) + TOKEN_SECONDS
    return token_verifier().backend.encode({settings.JWT_USER_ID_CLAIM: "demo", "exp": expires_at})


def _admin_password(path: Path) -> str:
    """The password of `admin`, random, one for the life of the checkout's database."""
    from django.contrib.auth import get_user_model

    users = get_user_model()._default_manager
    if path.exists() and users.filter(username="admin").exists():
        return path.read_text()
    password = secrets.token_urlsafe(12)
    path.touch(mode=0o600)
    path.write_text(password)
    admin, _ = users.get_or_create(username="admin", defaults={"is_staff": True, "is_superuser": True})
    admin.set_password(password)
    admin.save()
    return password


if __name__ == "__main__":
    main(own_database="--own-database" in sys.argv[1:])
