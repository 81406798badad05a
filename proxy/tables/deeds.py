"""What was done by hand, in the audit: one entry for each action, whatever it hits, and whoever does it.

Staff's stand in Django's admin log, which is of users; those of programs and shells in a table of their own.
"""

from __future__ import annotations

import logging
import os
import pwd
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import Error, transaction
from django.db.models import Model

from proxy.models import DeedDetails, ProgramDeed

log = logging.getLogger(__name__)

_MOST_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """By what deeds are looked through: how many rows one hit, why it was done, and by which
    filters the rows were found. `flag` is ADDITION, CHANGE or DELETION, of Django's admin log."""

    count: int | None = None
    reason: str = ""
    found_by: str = ""
    flag: int = CHANGE


def a_shell() -> str:
    """Who does what is done from a shell, or from Python: `shell: root`, whatever its environment says."""
    try:
        return f"shell: {pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a process of a user that has no name
        return "a shell"


def note_deed(
    by: Any,
    model: type[Model],
    said: str,
    *,
    about: str,
    object_id: str = "",
    details: Details = Details(),
) -> None:
    """Note what `by` has done to rows of `model`: a user, or by its name a program or `a_shell()`.

    `said` begins with a word, and has the `details` in it as well. `object_id` is the row's, where it was one
    alone. Raises django.db.Error.
    """
    if isinstance(by, str):
        ProgramDeed.objects.create(
            who=_clipped(ProgramDeed, "who", by),
            kind=model._meta.label_lower,
            object_id=_clipped(ProgramDeed, "object_id", object_id),
            about=about[:_MOST_CHARS],
            flag=details.flag,
            said=said,
            count=details.count,
            reason=_clipped(ProgramDeed, "reason", details.reason),
            found_by=_clipped(ProgramDeed, "found_by", details.found_by),
        )
        return
    with transaction.atomic():
        entry = LogEntry.objects.create(
            user_id=by.pk,
            content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
            object_id=object_id,
            object_repr=about[:_MOST_CHARS],
            action_flag=details.flag,
            change_message=said,
        )
        note_details(entry, details)


def note_details(entry: LogEntry, details: Details) -> None:
    """Note them of an entry of Django's log, if there are any. Raises django.db.Error."""
    if details.count is None and not details.reason and not details.found_by:
        return
    DeedDetails.objects.create(
        entry_id=entry.pk,
        count=details.count,
        reason=_clipped(DeedDetails, "reason", details.reason),
        found_by=_clipped(DeedDetails, "found_by", details.found_by),
    )


def note_deed_if_possible(by: Any, model: type[Model], said: str, **more: Any) -> bool:
    """As `note_deed`, for what was done without the database. False: it is away, which is logged."""
    try:
        with transaction.atomic():  # that of a caller goes on
            note_deed(by, model, said, **more)
    except Error as error:
        log.warning("audit: not noted, the database is away", extra={"by": str(by), "why": repr(error)})
        return False
    return True


def _clipped(model: type[Model], field: str, text: str) -> str:
    return text[: getattr(model._meta.get_field(field), "max_length", None)]
