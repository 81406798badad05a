"""What a development run needs in its database, in one short-lived process: `python -m config.dev.prepare`.

Prints one JSON object: `token` for the demonstration client and, when this checkout has its own database,
the admin `login` as [name, password].
"""

from __future__ import annotations

import io
import json
import os
import secrets
import sys
from pathlib import Path


def main(*, own_database: bool) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    prepared: dict[str, object] = {"token": _token()}
    # A login that anyone can read in var/ belongs in this checkout's own database only, and never beside
    # production settings.
    if settings.DEBUG and own_database:
        prepared["login"] = ["admin", _admin_password(Path(settings.VAR_DIR) / "admin_password")]
    sys.stdout.write(json.dumps(prepared))


def _token() -> str:
    from django.core.management import call_command

    printed = io.StringIO()
    call_command("issue_token", "demo", minutes=12 * 60, stdout=printed)
    return printed.getvalue().strip()


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
