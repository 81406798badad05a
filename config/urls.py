"""HTTP paths."""

from django.contrib import admin
from django.urls import path

from experience.studio.views import no_polling
from proxy import views

urlpatterns = [
    path("", views.landing),
    path("health", views.health),
    path("ready", views.ready),
    path("metrics", views.prometheus),
    path("socket.io/", no_polling),
    path("admin/", admin.site.urls),
]
