"""Django's admin with the pages of the gateway that are of no one table: Live comes first."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest
from django.urls import URLPattern, URLResolver, path, reverse

APP = "proxy"


class GatewayAdminConfig(AdminConfig):
    """In place of `django.contrib.admin` among the apps; all else is Django's."""

    default_site = "proxy.site.GatewaySite"


class GatewaySite(AdminSite):
    """The gateway stands before other apps, and in it Live before its tables."""

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from proxy.admin import live  # its tables are there by now, and not when this file is read

        pages = [
            path("proxy/live/", self.admin_view(live.page), name="proxy_live"),
            path("proxy/live/marks/", self.admin_view(live.marks), name="proxy_live_marks"),
        ]
        return [*pages, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps: list[dict[str, Any]] = super().get_app_list(request, app_label)
        for app in apps:
            if app["app_label"] == APP and request.user.has_perm("proxy.view_connection"):
                app["models"].insert(0, self._live())
        return sorted(apps, key=lambda app: app["app_label"] != APP)

    def _live(self) -> dict[str, Any]:
        """As Django tells templates of a table."""
        return {
            "name": "Live",
            "object_name": "Live",
            "admin_url": reverse("admin:proxy_live", current_app=self.name),
            "add_url": None,
            "perms": {"view": True},
            "view_only": True,
        }
