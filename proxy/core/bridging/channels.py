"""Channels of Redis' Pub/Sub, and patterns of them, that lead to topics."""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.core.bridging.bridged import Bridged, is_encodable

_WILDCARD = re.compile(r"[*?\[]")
_OF_PATTERNS = re.compile(r"[*?\[\]\\]")
_OURS = "gateway__"  # the channel layer's


@dataclass(frozen=True, slots=True)
class BridgedChannel(Bridged):
    """`updates:user:{id}` to `user:{id}`. A source with `*`, `?` or `[…]` is a pattern: Redis holds each of
    its messages against it, once for every topic that is heard.

    Raises:
        ValueError: the source begins with a part or a wildcard, or could be a channel of the gateway's own.
    """

    def __post_init__(self) -> None:
        Bridged.__post_init__(self)  # not super(): a dataclass with slots is made anew
        begins = re.split(r"[{*?\[\\]", self.source, maxsplit=1)[0]
        if not begins or begins.startswith(_OURS) or (begins != self.source and _OURS.startswith(begins)):
            raise ValueError(
                f"a channel begins with a word of its own, and not with {_OURS}: {self.source!r}"
            )

    @property
    def is_pattern(self) -> bool:
        return _WILDCARD.search(self.source) is not None

    def channel_of(self, topic: str) -> str | None:
        """The channel or pattern to subscribe to for `topic`; None where this leads elsewhere, or nobody can
        say it. A name is written as it is; in a pattern it stands for itself alone."""
        name = self.name_in(topic)
        if name is None or not is_encodable(name):
            return None
        return self.source_with(_OF_PATTERNS.sub(r"\\\g<0>", name) if self.is_pattern else name)
