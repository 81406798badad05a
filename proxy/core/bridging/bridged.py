"""What leads where over a bridge: subjects or channels of another broker, and the topics that they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from proxy.core.topics import EVERYONE, MAX_TOPIC_CHARS, TopicKind

_PART = re.compile(r"\{(\w+)\}")
EXPECTED = "SOURCE=TOPIC, such as news.{id}=user:{id} or news.all=everyone"

B = TypeVar("B", bound="Bridged")


@dataclass(frozen=True, slots=True)
class Bridged:
    """What is published to `source` comes to the links that hear `topic`: `news.{id}` to `user:{id}`.

    Each names the same one part in braces, which is the whole name of the topic, or neither names any:
    `news.all` to `everyone` or to `shop:north`.

    Raises:
        ValueError: they do not.
    """

    source: str
    topic: str

    def __post_init__(self) -> None:
        parts, of_topic = _PART.findall(self.source), _PART.findall(self.topic)
        kind, _, name = self.topic.partition(":")
        if not self.source or len(self.source) > MAX_TOPIC_CHARS:
            raise ValueError(f"a source has 1 to {MAX_TOPIC_CHARS} characters; {EXPECTED}")
        if parts != of_topic or len(parts) > 1 or set("{}") & set(_PART.sub("", self.source + self.topic)):
            raise ValueError(f"source and topic name the same one part in braces, or none; {EXPECTED}")
        if self.topic == EVERYONE:
            return
        TopicKind(kind)
        if not name or (parts and name != f"{{{parts[0]}}}"):
            raise ValueError(f"a topic is everyone, kind:name or kind:{{part}}; {EXPECTED}")

    @classmethod
    def parse(cls: type[B], text: str) -> B:
        """Of a setting: `news.{id}=user:{id}`."""
        source, _, topic = text.partition("=")
        return cls(source.strip(), topic.strip())

    def __str__(self) -> str:
        return f"{self.source}={self.topic}"

    @property
    def kind(self) -> str:
        """The name of the topics' kind, or `everyone`."""
        return self.topic.partition(":")[0]

    @property
    def has_part(self) -> bool:
        return "{" in self.source

    def name_in(self, topic: str) -> str | None:
        """What stands for the part in braces where this leads to `topic` ("" for none); None: elsewhere."""
        if not self.has_part:
            return "" if topic == self.topic else None
        kind, _, name = topic.partition(":")
        return name if kind == self.kind and name else None

    def source_with(self, written: str) -> str:
        """The source of one topic: `written` stands for the part in braces."""
        return _PART.sub(lambda _: written, self.source)


def is_encodable(name: str) -> bool:
    """False for half of a surrogate pair, of which a token's claim may have some."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
