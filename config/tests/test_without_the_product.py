"""A team's own routes: what belongs to the reference product is left out, its settings included."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config.testing.starts import BASE_DIR

pytestmark = pytest.mark.long

# Tells, of a start as a server makes it, what was imported of the product and which apps there are.
START = """
import config.asgi, json, sys
from django.apps import apps
import config.urls, proxy.admin
loaded = sorted(name for name in sys.modules if name.split(".")[0] == "experience")
print(json.dumps([loaded, sorted(app.label for app in apps.get_app_configs())]))
"""
GOOD = {"SECRET_KEY": "s" * 64, "DATABASE_URL": "sqlite:////tmp/is-never-opened.sqlite3"}
WITHOUT = {"ROUTES": "config.tests.bare_route.ROUTE", "EXTRA_APPS": "config.tests"}
NOT_OURS = {"KB_SERVICE_URL": "nonsense", "STUDIO_WS_URLS": "?", "EXPERIENCE_MESSAGE_RATE": "many"}


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START],
        cwd=BASE_DIR, env=variables, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_nothing_of_it_is_imported_and_its_settings_stop_no_start() -> None:
    ran = start(**GOOD, **WITHOUT, **NOT_OURS)
    assert ran.returncode == 0, ran.stderr
    loaded, apps = json.loads(ran.stdout)
    assert (loaded, "experience" in apps) == ([], False)


@pytest.mark.parametrize("name", NOT_OURS)
def test_with_it_they_do(name: str) -> None:
    ran = start(**GOOD, **{name: NOT_OURS[name]})
    assert (ran.returncode, ran.stderr.partition(": must be ")[0]) == (1, name)
