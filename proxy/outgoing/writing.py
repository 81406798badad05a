"""Events for other services are written in their caller's transaction, and sent once it has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import router, transaction
from django.utils.asyncio import async_unsafe

from proxy.core.outgoing import Outgoing

# Of those in this process that send; they look by themselves, too.
_wakes: set[Callable[[], object]] = set()


def send_on_commit(subject: str, body: Mapping[str, Any], *, key: str) -> None:
    """Have other services told of `body` once the transaction that is open has committed, or at once if none
    is: at least once, those of one `key` in the order in which they were written.

    It is written to Django's default database, with the rest of the transaction, and sent by a process that
    runs `send_outgoing`. Writers of one key have to take turns, by a lock that they hold until the commit.

    Raises:
        ValueError: the subject, the body or the key is not valid (`Outgoing`).
        django.db.Error: it could not be written.
        SynchronousOnlyOperation: this is async code.
    """
    send_many_on_commit([Outgoing(subject, body, key)])


@async_unsafe("Write what leaves for other services in the transaction that it tells of, in sync code.")
def send_many_on_commit(events: Iterable[Outgoing]) -> None:
    """`send_on_commit` for many, by one INSERT: in PostgreSQL of any number, in SQLite of some hundred."""
    from proxy.models import OutgoingEvent  # which needs settings, and a product's import does not
    from proxy.tables import outgoing_events

    if not outgoing_events.add(events):
        return
    using = router.db_for_write(OutgoingEvent)
    after_commit = transaction.get_connection(using).run_on_commit
    if not after_commit or after_commit[-1][1] is not _nudge:  # one is enough for all of a transaction
        transaction.on_commit(_nudge, using=using)


@contextmanager
def woken(wake: Callable[[], object]) -> Iterator[None]:
    """Have `wake` called, from any thread, after each commit of this process that wrote something."""
    _wakes.add(wake)
    try:
        yield
    finally:
        _wakes.discard(wake)


def _nudge() -> None:
    for wake in tuple(_wakes):
        try:
            wake()
        except RuntimeError:  # its loop has ended
            _wakes.discard(wake)
