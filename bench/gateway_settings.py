"""The gateway's settings with one route more, of which the benchmark has need: see bench/gateway_asgi.py."""

from config.settings import *  # noqa: F403

ASGI_APPLICATION = "bench.gateway_asgi.application"
