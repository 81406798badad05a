"""The ASGI application: HTTP by Django, but for what operators ask; WebSockets by the gateway."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
http_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter  # noqa: E402  needs the settings

from config.routing import websocket_application  # noqa: E402
from proxy.http.guard import http_middleware  # noqa: E402
from proxy.http.node_operations import PATHS  # noqa: E402
from proxy.http.operations import FixedPaths  # noqa: E402
from proxy.http.shared_answers import Shared, SharedAnswers  # noqa: E402
from proxy.socket.middleware import gateway_middleware  # noqa: E402
from proxy.stock_daphne import make_safe  # noqa: E402
from proxy.tables.executor import bound_waits  # noqa: E402

bound_waits()
make_safe()

# What many open pages ask for all the time. Charts have steps of five seconds at the least.
ASKED_BY_ALL = {
    "/admin/proxy/live/": Shared(header=b"x-asked-again"),
    "/admin/proxy/live/series/": Shared(least_seconds=5.0),
    "/admin/proxy/live/marks/": Shared(least_seconds=5.0),
}

application = ProtocolTypeRouter(
    {
        "http": FixedPaths(http_middleware(SharedAnswers(http_application, ASKED_BY_ALL)), PATHS),
        "websocket": gateway_middleware(websocket_application),
    }
)
