"""What staff do to a user is noted where that user's story is told."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from proxy.core.people import NoteKind
from proxy.models import Block
from proxy.tables.staff_notes import note_block


class NotesBlocks(admin.ModelAdmin):  # type: ignore[type-arg]
    """Blocks that are placed, changed and lifted."""

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        kind = NoteKind.BLOCK_CHANGED if change else NoteKind.BLOCKED
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            note_block(obj, kind, by=request.user)

    def delete_model(self, request: HttpRequest, obj: Block) -> None:
        with transaction.atomic():
            note_block(obj, NoteKind.UNBLOCKED, by=request.user)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Block]) -> None:
        with transaction.atomic():
            for block in queryset.exclude(user_id=""):
                note_block(block, NoteKind.UNBLOCKED, by=request.user)
            super().delete_queryset(request, queryset)
