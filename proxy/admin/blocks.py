"""Blocks: who is kept out, why, until when, and by whom."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.pages import CheckedAdmin, foreign, moment
from proxy.models import Block


@admin.register(Block)
class BlockAdmin(CheckedAdmin):
    """A new one ends matching links on every node and refuses new ones, until it expires or is deleted."""

    list_display = ["who", "state", "why", "since", "created_by"]
    list_select_related = ["created_by"]
    search_fields = ["user_id__startswith", "network__startswith"]
    search_help_text = "The start of a user id or of an address."
    fields = ["user_id", "network", "until", "reason"]

    class Media:
        css = {"all": ["proxy/admin.css"]}

    @admin.display(description="Blocked", ordering="user_id")
    def who(self, block: Block) -> str:
        if not (block.user_id and block.network):
            return foreign(block.user_id or block.network)
        return format_html("{} from {}", foreign(block.user_id), block.network)

    @admin.display(description="Reason", ordering="reason")
    def why(self, block: Block) -> str:
        return foreign(block.reason)

    @admin.display(description="Until", ordering="until")
    def state(self, block: Block) -> str:
        if block.until is None:
            return format_html('<span class="gateway-down">{}</span>', "for good")
        over = block.until <= timezone.now()
        css, text = ("gateway-closed", "over since") if over else ("gateway-down", "until")
        when = timezone.localtime(block.until).strftime("%Y-%m-%d %H:%M %Z")
        return format_html('<span class="{}">{} {}</span>', css, text, when)

    @admin.display(description="Since", ordering="created_at")
    def since(self, block: Block) -> str:
        return moment(block.created_at)

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user  # type: ignore[assignment]  # staff are logged in
        super().save_model(request, obj, form, change)
