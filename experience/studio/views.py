"""What the studio's paths answer to plain HTTP."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt  # nothing is done
def no_polling(_: HttpRequest) -> JsonResponse:
    """Socket.IO's polling transport, which its clients try first unless told otherwise.

    A poll would have to find its session's instance again for each request; a socket stays where it is. Pages
    of other sites may read the answer, or their browser would report a CORS error in place of it.
    """
    answer = {
        "code": "transport_not_supported",
        "message": "Socket.IO goes over WebSocket only here: connect with transports: ['websocket'].",
        "transports": ["websocket"],
    }
    response = JsonResponse(answer, status=400)
    response["Access-Control-Allow-Origin"] = "*"
    return response
