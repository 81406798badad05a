"""Subjects of NATS: how any name is written in one, so that none reaches into another's.

A subject is tokens with dots between; `*` stands for one token and `>` for all that follow. The server takes
neither blanks nor control characters, and a line of at most 4,096 bytes: a topic's 512 characters, written
as here, fit beside a source's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from proxy.core.bridging.bridged import Bridged, is_encodable

_NOT_IN_A_TOKEN = re.compile(r"[\x00-\x20\x7f%.*>]")
_FIRST_TOKEN = re.compile(r"[A-Za-z0-9-][^\s{}]*")  # neither the server's own ($SYS, $JS) nor an inbox


@dataclass(frozen=True, slots=True)
class BridgedSubject(Bridged):
    """`world.updates.user.{id}` to `user:{id}`. The source may have wildcards beside its part.

    Raises:
        ValueError: the source is no subject, or its first token is not plain letters.
    """

    def __post_init__(self) -> None:
        # Not super(): a dataclass with slots is made anew, and the class of that name is another one.
        Bridged.__post_init__(self)
        first, *_ = tokens = self.source.split(".")
        for place, each in enumerate(tokens):
            is_wildcard = each == "*" or (each == ">" and place == len(tokens) - 1)
            if not each or (_NOT_IN_A_TOKEN.search(each) and not is_wildcard):
                raise ValueError(f"no subject of NATS: {self.source!r}")
        if not _FIRST_TOKEN.fullmatch(first):
            raise ValueError(f"a subject begins with a word of its own: {self.source!r}")

    def subject_of(self, topic: str) -> str | None:
        """The subject to subscribe to for `topic`; None where this leads elsewhere, or nobody can say it."""
        name = self.name_in(topic)
        if name is None or not is_encodable(name):
            return None
        return self.source_with(written(name))

    @property
    def any_subject(self) -> str:
        """One for those of all its topics, and maybe more: a token with the part in it may be any."""
        return ".".join("*" if "{" in token else token for token in self.source.split("."))

    def subject_in(self, published_to: str) -> str | None:
        """What `subject_of` says of the topic that a message is for; None where this leads it nowhere."""
        found = _pattern(self.source).fullmatch(published_to)
        if found is None:
            return None
        return self.source_with(found[1]) if self.has_part else self.source


@cache
def _pattern(source: str) -> re.Pattern[str]:
    tokens = {"*": "[^.]+", ">": ".+"}
    written = (tokens.get(token) or re.escape(token) for token in source.split("."))
    return re.compile(re.sub(r"\\\{\w+\\\}", "([^.]+)", r"\.".join(written)), re.DOTALL)


def fewest(subjects: Iterable[str]) -> list[str]:
    """Those of `subjects`, which may have wildcards, that no other one covers."""
    found = dict.fromkeys(subjects)
    return [each for each in found if not any(other != each and _covers(other, each) for other in found)]


def uncovered(subjects: Iterable[str], *, by: Iterable[str]) -> list[str]:
    """Those of `subjects` for all of which none of `by` stands alone."""
    wide = list(by)
    return [each for each in subjects if not any(other == each or _covers(other, each) for other in wide)]


def _covers(wide: str, narrow: str) -> bool:
    """Whether all that `narrow` stands for `wide` does."""
    ours, theirs = wide.split("."), narrow.split(".")
    if ours[-1] == ">":
        ours, theirs = ours[:-1], theirs[: len(ours) - 1] if len(theirs) >= len(ours) else []
    pairs = zip(ours, theirs, strict=False)
    return len(ours) == len(theirs) and all(our in ("*", their) and their != ">" for our, their in pairs)


def written(name: str) -> str:
    """`name` as a token or as a part of one: `%` and two hex digits stand for what no token may hold."""
    return _NOT_IN_A_TOKEN.sub(lambda found: f"%{ord(found[0]):02X}", name)
