"""The product's settings, with the route of apps.py."""

from config.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "config.tests.conformance"]  # noqa: F405
