"""HTTP paths; /health, /ready and /metrics are answered in front of Django (proxy/http/node_operations.py).

An app of EXTRA_APPS that has a `urls` module answers plain HTTP by it, where the gateway itself does not.
"""

from importlib.util import find_spec

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

from proxy.http import live, tapping, views
from proxy.registry import served

_with_pages = [app for app in settings.EXTRA_APPS if find_spec(f"{app}.urls") is not None]

handler400, handler500 = views.bad_request, views.server_error

urlpatterns = [
    path("", views.landing, name="landing"),
    path("admin/proxy/live/events/", live.events, name="live-events"),
    path("admin/proxy/live/series/", live.series, name="live-series"),
    path("admin/proxy/tap/<str:tap_id>/events/", tapping.events, name="tap-events"),
    path("admin/", admin.site.urls),
    path("api/", include("proxy.rest.urls")),
    *(path("", include(f"{app}.urls")) for app in _with_pages),
    *(path(each, views.upgrade_required, name=route.name) for route in served() for each in route.paths),
    re_path("^api/", views.no_such_api),  # last: an app may have paths of its own there
]
