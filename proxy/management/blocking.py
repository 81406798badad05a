"""Blocks, placed and lifted from a shell: each noted once, and where its user's story is told."""

from __future__ import annotations

from django.contrib.admin.models import ADDITION, DELETION
from django.db import transaction
from django.utils import timezone

from proxy.core.human import counted
from proxy.core.people import NoteKind
from proxy.models import Block
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tables.staff_notes import note_block


def place(block: Block, *, links: int) -> None:
    """Save a new block, which matches so many live links now. Raises django.db.Error."""
    said = f"Blocked {_until(block)}, {counted(links, 'live link')}: {block.reason}"
    with transaction.atomic():
        block.save(force_insert=True)
        note_block(block, NoteKind.BLOCKED, by=a_shell())
        _note(block, said, Details(count=links, reason=block.reason, flag=ADDITION))


def lift(block: Block, *, reason: str) -> None:
    """Delete it. Raises django.db.Error."""
    said = f"Lifted the block that held {_until(block)}: {reason}"
    with transaction.atomic():
        note_block(block, NoteKind.UNBLOCKED, by=a_shell())
        _note(block, said, Details(reason=reason, flag=DELETION))
        block.delete()


def _note(block: Block, said: str, details: Details) -> None:
    note_deed(a_shell(), Block, said, about=str(block), object_id=str(block.pk), details=details)


def _until(block: Block) -> str:
    if block.until is None:
        return "for good"
    return f"until {timezone.localtime(block.until):%Y-%m-%d %H:%M %Z}"
