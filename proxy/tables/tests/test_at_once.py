"""What several do to one row at once is done by one of them, and is one entry of the audit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from django.db import connections

from proxy.models import Block, ProgramDeed
from proxy.tables.blocking import lift
from proxy.tables.staff_notes import add_note, delete_note

pytestmark = pytest.mark.usefixtures("postgres_database")
AT_ONCE = 6


def all_at_once(do: Callable[[], object]) -> int:
    """How many of them did something."""
    ready = Barrier(AT_ONCE)

    def play(_: int) -> bool:
        try:
            ready.wait(10)
            return do() is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return sum(threads.map(play, range(AT_ONCE)))


def test_a_block_is_lifted_by_one_of_those_who_lift_it() -> None:
    for number in range(5):
        block = Block.objects.create(user_id=f"ada{number}")
        assert all_at_once(partial(lift, block.pk, reason="spam", by="key game")) == 1
    assert ProgramDeed.objects.count() == 5


def test_a_note_is_deleted_by_one_of_those_who_delete_it() -> None:
    for number in range(5):
        note = add_note(f"ada{number}", "Wrote to support.", by="key game")
        assert all_at_once(partial(delete_note, note.pk, by="key game")) == 1
    assert ProgramDeed.objects.filter(said__startswith="Note of").count() == 5
