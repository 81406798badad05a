"""Taking tokens back: from admin, over HTTP, from a shell, from Python.

A revocation is a row that every node looks for, at once when it is announced (revocation_watch.py).
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import transaction

from proxy.models import Revocation
from proxy.tables.deeds import Details, a_shell, note_deed
from proxy.tables.staff_notes import note_revocation

log = logging.getLogger(__name__)

_MOST_SOURCE_CHARS = 128


def revoke(
    *,
    user: str = "",
    jti: str = "",
    issued_before: datetime | None = None,
    reason: str = "",
    by: AbstractBaseUser | str | None = None,
) -> Revocation:
    """Take back all tokens of `user`, or of everybody, that were issued before a time, or the token `jti`.

    `user` alone: those issued before now. Links that were opened by such a token end with 4011 on every node,
    and it is refused until it expires. It takes hold with the caller's transaction, if there is one. `by`
    (None: a shell) and `reason` are for staff, the audit and the log. For code that is not async.

    Raises:
        ValueError: nothing is named, or both a token's id and something else; the time is to come.
        django.db.Error: the database is away, and nothing was done.
    """
    by = a_shell() if by is None else by
    row = Revocation(user_id=user, jti=jti, issued_before=issued_before, reason=reason)
    row.source = str(by)[:_MOST_SOURCE_CHARS]  # which outlives the user
    if not isinstance(by, str):
        row.created_by_id = by.pk
    try:
        row.full_clean(exclude=["created_at", "created_by"])
    except ValidationError as error:
        raise ValueError(" ".join(error.messages)) from None
    with transaction.atomic():
        row.save(force_insert=True)
        log_revoked(row)
        said = f"Revoked {row}: {row.reason or 'no reason given'}"
        note_deed(
            by,
            Revocation,
            said,
            about=str(row),
            object_id=str(row.pk),
            details=Details(flag=ADDITION, reason=reason),
        )
    return row


def log_revoked(row: Revocation) -> None:
    """Say so, once it is so: its transaction may fail yet; and note it where its user's story is told."""
    note_revocation(row)
    fields = row.named() | {"reason": row.reason, "by": row.source}
    transaction.on_commit(partial(log.info, "tokens revoked", extra=fields))
