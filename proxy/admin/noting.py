"""What staff do to a user is noted where that user's story is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.http import HttpRequest

from proxy.admin.deleting import AsksToDelete
from proxy.core.people import NoteKind
from proxy.models import Block
from proxy.tables.staff_notes import note_block


class NotesBlocks(AsksToDelete):
    """Blocks that are placed, changed and lifted."""

    def save_model(self, request: HttpRequest, obj: Block, form: Any, change: bool) -> None:
        kind = NoteKind.BLOCK_CHANGED if change else NoteKind.BLOCKED
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            note_block(obj, kind, by=request.user)

    def delete_rows(self, request: HttpRequest, rows: Sequence[Block], *, reason: str) -> None:
        for block in rows:
            note_block(block, NoteKind.UNBLOCKED, by=request.user, why_lifted=reason)
        super().delete_rows(request, rows, reason=reason)
