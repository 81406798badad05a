"""What staff say of experiences, as rules of their topics: the gateway keeps to them on every route."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from experience.topics import experience_topic
from proxy.api import TopicRule, tell_topic_rules

log = logging.getLogger(__name__)


def rules() -> Iterator[TopicRule]:
    """Of rows that say anything; one query."""
    from django.db.models import Q

    from experience.models import Experience

    rows = Experience.objects.filter(Q(enabled=False) | Q(capacity__isnull=False))
    columns = ("slug", "enabled", "ends_links", "maintenance_message", "capacity")
    for slug, enabled, ends_links, message, capacity in rows.values_list(*columns):
        try:
            yield TopicRule(
                topic=experience_topic(slug),
                closed=None if enabled else message,
                ends_links=ends_links and not enabled,
                most_links=capacity,
            )
        except ValueError as error:  # written past the forms: the others hold all the same
            log.error("an experience's row is no rule", extra={"experience": slug, "why": str(error)})


def keep_on_every_node() -> None:
    """To be called at import of the routes."""
    tell_topic_rules("experiences", rules)
