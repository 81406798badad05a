"""Blocks: who is kept out, why, until when, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.asking import Question
from proxy.admin.blocking import NoQuestion, WordForm
from proxy.admin.blocks_form import BlockForm
from proxy.admin.deleting import MOST_NAMED
from proxy.admin.leading_back import LeadsBack, came_from
from proxy.admin.noting import NotesBlocks
from proxy.admin.pages import CheckedAdmin, foreign, moment
from proxy.core.blocking import networks_around
from proxy.core.human import counted
from proxy.models import Block
from proxy.tables.blocking import Hit, placed_in_words

_OF_THE_QUESTION = frozenset({"csrfmiddlewaretoken", "confirmed", "word"})


@admin.register(Block)
class BlockAdmin(LeadsBack, NotesBlocks, CheckedAdmin):
    """A new one ends matching links on every node and refuses new ones, until it expires or is deleted."""

    list_display = ["who", "state", "why", "since", "by"]
    list_select_related = ["created_by"]
    search_fields = ["user_id__startswith", "network__startswith"]
    search_help_text = "The start of a user id, or an address or network that is kept out; or how one begins."
    form = BlockForm
    change_form_template = "admin/proxy/block/change_form.html"
    fields = ["user_id", "network", "lasts", "until", "reason"]

    deleted = "Lifted"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By how they begin; an address is also looked for in the networks that have it."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        try:
            around = networks_around(search_term)
        except ValueError:
            return found, may_repeat
        return found | queryset.filter(network__in=around), may_repeat

    def question_to_delete(self, rows: Sequence[Block]) -> Question:
        """Who may come in again; of those that are over nobody is kept out."""
        named = ", ".join(map(str, rows[:MOST_NAMED]))
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        over = sum(row.until is not None and row.until <= timezone.now() for row in rows)
        again = "may come in again, on every node within two seconds, unless another block matches."
        blocks = counted(len(rows), "block")
        return Question(
            title=f"Lift {'a block' if len(rows) == 1 else blocks}",
            says=[f"{named}{more} {again}", *([f"Over by now: {over} of {blocks}."] if over else [])],
            do="Lift",
        )

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

    @admin.display(description="By", ordering="source")
    def by(self, block: Block) -> str:
        return foreign(block.source_name)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """As Django's; before a block that hits many is saved, whom it will hit is said."""
        if request.method == "POST" and (question := self._question(request, object_id)) is not None:
            return question
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _question(self, request: HttpRequest, object_id: str | None) -> HttpResponse | None:
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            return None  # Django's page says so
        existing = None if object_id is None else self.get_object(request, unquote(object_id))
        form = self.get_form(request, existing, change=existing is not None)(request.POST, instance=existing)
        if not form.is_valid():
            return None  # Django's page says what is wrong
        hit = Hit.of(form.instance)
        is_confirmed = "confirmed" in request.POST
        asked = (WordForm if hit.needs_word else NoQuestion)(request.POST if is_confirmed else None)
        if not hit.is_to_be_asked or (is_confirmed and asked.is_valid()):
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Block many",
            "opts": self.opts,
            "media": self.media,
            "block": form.instance,
            "whom": str(form.instance),
            "hit": hit,
            "form": asked,
            "posted": [(name, request.POST[name]) for name in request.POST if name not in _OF_THE_QUESTION],
            "cancel_url": came_from(request) or request.get_full_path(),
        }
        return TemplateResponse(request, "admin/proxy/block/block_confirmation.html", context)

    def construct_change_message(self, request: Any, form: Any, formsets: Any, add: bool = False) -> Any:
        """What it says, since the row may be deleted."""
        block, done = form.instance, "Blocked" if add else "Changed"
        return f"{placed_in_words(block, block.hit, done=done)}: {block.reason or 'no reason given'}"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.placed_by(request.user)
        obj.hit = Hit.of(obj).links  # before they end
        super().save_model(request, obj, form, change)
