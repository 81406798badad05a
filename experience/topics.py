"""What links of the game hear, on either of its routes."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.api import Subject, TopicKind

experience_topic = TopicKind("experience")


def of_experience(subject: Subject) -> Iterable[str]:
    return (experience_topic(subject.query["experience"]),)
