"""What staff did: one entry of Django's admin log for each action, whatever it hits."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

_MOST_CHARS = 200


def note_deed(
    by: Any, model: type[Model], said: str, *, about: str, object_id: str = "", flag: int = CHANGE
) -> None:
    """Note what `by`, a user, has done to rows of `model`. `object_id` is the row's, where it was one alone.

    `flag` is Django's: DELETION for rows that are gone. `said` begins with a word, and has the reason and the
    count. Raises django.db.Error.
    """
    LogEntry.objects.create(
        user_id=by.pk,
        content_type=ContentType.objects.get_for_model(model, for_concrete_model=False),
        object_id=object_id,
        object_repr=about[:_MOST_CHARS],
        action_flag=flag,
        change_message=said,
    )
