"""/chat/: a page on which two browsers talk, to try the chat with."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from experience import settings as product


def page(request: HttpRequest) -> HttpResponse:
    """Nobody's data: whose token the browser has is told to no server but by the chat's own ways."""
    told = {"user_id_claim": settings.JWT_USER_ID_CLAIM, "text_characters": product.CHAT_TEXT_CHARACTERS}
    return render(request, "chat/page.html", told)
