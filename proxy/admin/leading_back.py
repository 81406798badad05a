"""Forms that lead back to the page where one came from: `next`, in the URL or in what is posted."""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

R = TypeVar("R", bound=HttpResponse)


def came_from(request: HttpRequest) -> str:
    """The page of this site that `next` names, or ""."""
    said = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        said, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return said if is_ours else ""


class LeadsBack(admin.ModelAdmin):  # type: ignore[type-arg]
    """A ModelAdmin whose *Save*, *Delete* and *Cancel* lead there."""

    change_form_template = "admin/proxy/leads_back.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "came_from": came_from(request)}
        return super().changeform_view(request, object_id, form_url, context)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _back(request, super().response_post_save_add(request, obj))

    def response_post_save_change(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        return _back(request, super().response_post_save_change(request, obj))

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        return _back(request, super().response_delete(request, obj_display, obj_id))


def _back(request: HttpRequest, response: R) -> R | HttpResponseRedirect:
    url = came_from(request)
    return HttpResponseRedirect(url) if url else response
