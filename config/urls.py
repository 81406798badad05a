"""HTTP paths; /health, /ready and /metrics are answered in front of Django (proxy/http/operations.py)."""

from django.contrib import admin
from django.urls import path

from experience.routes import ROUTES
from experience.studio.views import no_polling
from proxy.http import views

urlpatterns = [
    path("", views.landing),
    path("socket.io/", no_polling),
    path("admin/", admin.site.urls),
    *(path(pattern, views.upgrade_required) for route in ROUTES for pattern in route.paths),
]
