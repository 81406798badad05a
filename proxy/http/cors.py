"""Pages of other sites may call the API where they may open sockets; django-cors-headers says so to browsers.

Browsers send no cookie there (CORS_ALLOW_CREDENTIALS): a page can do no more than whose token or key it has.
"""

from __future__ import annotations

from typing import Any

from corsheaders.signals import check_request_enabled
from django.conf import settings
from django.dispatch import receiver
from django.http import HttpRequest

from proxy.core.origins import is_origin_allowed

_API = "/api/"


@receiver(check_request_enabled, dispatch_uid="proxy.http.cors")
def may_call(sender: object, request: HttpRequest, **_: Any) -> bool:
    """Whether a page of the request's Origin may see the answer."""
    return request.path_info.startswith(_API) and is_origin_allowed(
        request.headers.get("Origin"),
        host=request.headers.get("Host", ""),
        allowed=settings.ALLOWED_ORIGINS,
        loopback=settings.DEBUG,
    )
