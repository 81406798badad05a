"""What the environment says of the reference product; read where ROUTES names its routes, and only there."""

from __future__ import annotations

import re

from proxy.api import env

env.also_called({"STUDIO_URLS": "STUDIO_WS_URLS", "STUDIO_URL": "STUDIO_WS_URLS", "KB_URL": "KB_SERVICE_URL"})

_PROBES = ("websocket", "http", "none")

# --- The game -----
KB_SERVICE_URL = env.service_url("KB_SERVICE_URL", "http://127.0.0.1:8001")
KB_PROBE = env.choice("KB_PROBE", "websocket", _PROBES)
KB_PROBE_PATH = env.path("KB_PROBE_PATH", "")
KB_PROBE_SECONDS = env.seconds("KB_PROBE_SECONDS", 30, least=0.1)
# A class of pupils, or a whole office, plays from one address, and comes back in the same second.
EXPERIENCE_LIMITS = env.connection_limits("experience", per_ip=200, per_user=20, rate="100/s")
EXPERIENCE_BOUNDS = env.link_bounds("experience")
EXPERIENCE_MESSAGE_RATE = env.rate("EXPERIENCE_MESSAGE_RATE", "1000/s")


# --- The studio -----
def _namespace(raw: str) -> str:
    if not re.fullmatch(r"/[\w.~/-]+", raw):
        raise ValueError
    return raw


STUDIO_WS_URLS = env.service_urls("STUDIO_WS_URLS")
STUDIO_POLICY = env.choice(
    "STUDIO_POLICY", "least_connections", ("round_robin", "least_connections", "weighted", "affinity")
)
STUDIO_RESUME = env.choice("STUDIO_RESUME", "close", ("close", "reconnect"))
STUDIO_SOCKETIO_NAMESPACES = env.several(
    "STUDIO_SOCKETIO_NAMESPACES",
    _namespace,
    expected="Socket.IO namespaces separated by commas, such as /admin, without the main one",
)
STUDIO_PROBE = env.choice("STUDIO_PROBE", "websocket", _PROBES)
STUDIO_PROBE_PATH = env.path("STUDIO_PROBE_PATH", "")
STUDIO_PROBE_SECONDS = env.seconds("STUDIO_PROBE_SECONDS", 30, least=0.1)
STUDIO_MEMBER_MAX_CONNECTIONS = env.integer("STUDIO_MEMBER_MAX_CONNECTIONS", 0, least=0) or None
STUDIO_LIMITS = env.connection_limits("studio", per_ip=10, per_user=5, rate="20/s")
STUDIO_BOUNDS = env.link_bounds("studio")
MESSAGE_RATE_PER_USER = env.rate("MESSAGE_RATE_PER_USER", "100/s")
MESSAGE_RATE_PER_CONNECTION = env.optional_rate("MESSAGE_RATE_PER_CONNECTION")
BYTE_RATE_PER_USER = env.optional_rate("BYTE_RATE_PER_USER")
BYTE_RATE_PER_CONNECTION = env.optional_rate("BYTE_RATE_PER_CONNECTION")
MESSAGE_RATE_POLICY = env.choice("MESSAGE_RATE_POLICY", "drop", ("drop", "close", "wait"))
