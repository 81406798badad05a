"""Taking tokens back: from admin, over HTTP, from a shell, from Python.

A revocation is a row that every node looks for, at once when it is announced (revocation_watch.py).
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from proxy.models import Revocation
from proxy.tables.staff_notes import note_revocation

log = logging.getLogger(__name__)

A_SHELL = "a shell"
_MOST_SOURCE_CHARS = 128


def revoke(
    *,
    user: str = "",
    jti: str = "",
    issued_before: datetime | None = None,
    reason: str = "",
    by: AbstractBaseUser | str = A_SHELL,
) -> Revocation:
    """Take back all tokens of `user`, or of everybody, that were issued before a time, or the token `jti`.

    `user` alone: those issued before now. Links that were opened by such a token end with 4011 on every node,
    and it is refused until it expires. It takes hold with the caller's transaction, if there is one. `by` and
    `reason` are for staff and the log. For code that is not async.

    Raises:
        ValueError: nothing is named, or both a token's id and something else; the time is to come.
        django.db.Error: the database is away, and nothing was done.
    """
    row = Revocation(user_id=user, jti=jti, issued_before=issued_before, reason=reason)
    row.source = str(by)[:_MOST_SOURCE_CHARS]  # which outlives the user
    if not isinstance(by, str):
        row.created_by_id = by.pk
    try:
        row.full_clean(exclude=["created_at", "created_by"])
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    row.save(force_insert=True)
    log_revoked(row)
    return row


def log_revoked(row: Revocation) -> None:
    """Say so, once it is so: its transaction may fail yet; and note it where its user's story is told."""
    note_revocation(row)
    fields = row.named() | {"reason": row.reason, "by": row.source}
    transaction.on_commit(partial(log.info, "tokens revoked", extra=fields))
