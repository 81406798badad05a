"""HTTP paths; /health, /ready and /metrics are answered in front of Django (proxy/operations.py)."""

from django.contrib import admin
from django.urls import path

from experience.studio.views import no_polling
from proxy import views

urlpatterns = [
    path("", views.landing),
    path("socket.io/", no_polling),
    path("admin/", admin.site.urls),
]
