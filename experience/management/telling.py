"""What the commands about experiences share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ValidationError

from experience.models import Experience
from experience.topics import experience_topic
from proxy.api import LiveLinks, Misused


def told(row: Experience, live: LiveLinks) -> dict[str, Any]:
    """As GET /api/experiences has it, with how many are connected: at least so many if `is_bounded`."""
    return {
        "slug": row.slug,
        "title": row.title,
        "enabled": row.enabled,
        "ends_links": row.ends_links,
        "maintenance_message": row.maintenance_message,
        "capacity": row.capacity,
        **live.counted(experience_topic(row.slug))._asdict(),
    }


@contextmanager
def as_misuse() -> Iterator[None]:
    """Raises Misused for what is no slug, or does not fit: nothing was done."""
    try:
        yield
    except ValidationError as error:
        raise Misused(" ".join(error.messages)) from None
