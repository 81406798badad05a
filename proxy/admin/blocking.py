"""Blocks as pages show them: which hold against a client; and what is asked before a wide one is saved."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from proxy.admin.pages import foreign, moment
from proxy.models import Block
from proxy.tables.blocking import MOST_BLOCKS, WORD, blocks_of


def since(block: Block) -> str:
    """Since when it holds, by whom, and until when."""
    by = format_html(" by {}", foreign(block.source_name)) if block.source_name else ""
    until = (
        "for good" if block.until is None else f"until {timezone.localtime(block.until):%Y-%m-%d %H:%M %Z}"
    )
    return format_html("{}{}, {}", moment(block.created_at), by, until)


class ShowsBlocks:
    """For rows that name a client: the blocks that hold against it now."""

    @admin.display(description="Kept out")
    def kept_out(self, row: Any) -> str:
        blocks, is_cut = blocks_of(row.user_id, row.client_address or "")
        lines = (
            (reverse("admin:proxy_block_change", args=[each.pk]), foreign(str(each)), since(each))
            for each in blocks
        )
        shown = format_html_join("", '<div><a href="{}">{}</a> {}</div>', lines)
        if is_cut:
            more = f"of networks, only the newest {MOST_BLOCKS:,} blocks were looked at"
            return format_html("{}{}", shown, more)
        return shown or "no"

    @admin.display(description="Kept out")
    def kept_out_unseen(self, _: Any) -> str:
        return "blocks are not yours to see"


class NoQuestion(forms.Form):
    """The figures are enough."""


class WordForm(forms.Form):
    """For what keeps out a large part of the world."""

    word = forms.CharField(label="To go on, type", help_text=f"“{WORD}”")

    def clean_word(self) -> str:
        word = str(self.cleaned_data["word"])
        if word.strip().lower() != WORD:
            raise ValidationError(f"Type “{WORD}”, or cancel.")
        return word
