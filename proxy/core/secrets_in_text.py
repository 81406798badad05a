"""Secrets taken out of messages that staff look at, by the names that stand beside them.

Text is looked through as JSON, as JSON in a string, as a query, as header lines and as XML, whatever it is,
however it is cut, and where its beginning is not known. What is in doubt is taken out. A text is gone through
once, from the front to the back: no client can write one that takes long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from proxy.core.redaction import REDACTED, redacted
from proxy.core.text_tokens import (
    UNKNOWN,
    Name,
    Token,
    behind_blank,
    behind_space,
    element_of,
    name_before,
    tag_at,
    tokens_of,
)

__all__ = ["HIDDEN", "UNKNOWN", "Secrets"]

HIDDEN = "[hidden: what stands before is not known]"

_SCHEME = re.compile(r"\b(?:Bearer|Basic|Digest)[ \t]{1,8}[\w.~+/=-]{6,}", re.IGNORECASE)
_ESCAPED = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")
_SEPARATORS: dict[int, None] = {code: None for code in range(128) if not chr(code).isalnum()}
_MOST_UNKNOWN = 8  # signs for a run of what is not known
_VALUE = frozenset({"value", "values", "val"})  # what stands beside a name that is itself a value
# What ends a value that is not quoted, by the sign before it.
_ENDS = {
    ":": frozenset("\n,}]\"'"),
    "=": frozenset("\n &;,\"'<>"),
    ",": frozenset("\n,}]\"'"),
}
_BARE_LINE = frozenset("\n\"'")


class _Value(NamedTuple):
    """Where the value of a secret begins, and what ends it if it is not quoted."""

    first: int
    ends: frozenset[str]
    quote: str = ""  # of its name
    element: str = ""  # whose text it is
    level: int = 0  # of the sign before it: what is encoded more often does not end it


class Secrets:
    """What is taken out: values whose name has one of `names` in it, whatever its case and its dashes."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(filter(None, map(_plain, names)))
        spread = "|".join(r"[\W_]?".join(map(re.escape, name)) for name in self._names)
        self._anywhere = re.compile(spread or r"(?!)", re.IGNORECASE)

    def without(self, text: str) -> str:
        """`text` with "[redacted]" in place of each secret, and without what may be one."""
        clean = _SCHEME.sub(REDACTED, redacted(text))
        if UNKNOWN in clean:
            clean = _hide_behind_unknown(clean)
        return "".join(self._pieces(clean)) if self._may_be_in(clean) else clean

    def first_in(self, data: bytes) -> int:
        """Where in binary data the first name of a secret ends, or a token begins; its size if none does."""
        text = data.decode("latin-1")
        named = self._anywhere.search(text)
        end = len(data) if named is None else named.end()
        clean = redacted(text)
        if clean == text:
            return end
        pairs = zip(text, clean, strict=False)
        return min(end, next((at for at, (one, other) in enumerate(pairs) if one != other), len(clean)))

    def is_secret(self, name: str) -> bool:
        """Whether that names a secret."""
        if "\\" in name:
            name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
        plain = _plain(name)
        return any(each in plain for each in self._names)

    def _may_be_in(self, text: str) -> bool:
        """Whether any name may be in it: to look through a whole text takes many times as long."""
        if _ESCAPED.search(text):
            return True
        plain = text.lower().translate(_SEPARATORS) if text.isascii() else _plain(text)
        return any(name in plain for name in self._names)

    def _pieces(self, text: str) -> Iterator[str]:
        tokens = tokens_of(text)
        place = kept = 0
        while place < len(tokens):
            value = self._value_behind(tokens, place)
            if value is None:
                place += 1
                continue
            first = value.first
            place = _value_end(tokens, value)
            if place > first:
                yield text[kept : tokens[first].start] + _replaced(text, tokens[first], tokens[place - 1])
                kept = tokens[place - 1].end
            place = max(place, first)
        yield text[kept:]

    def _value_behind(self, tokens: list[Token], place: int) -> _Value | None:
        """The value of a secret whose name ends at the sign there; None: no such name does."""
        sign = tokens[place]
        if sign.kind != "mark" or sign.text not in ":=,>":
            return None
        if sign.text == ">":
            element = element_of(tokens, place)
            return _Value(place + 1, frozenset(), element=element) if self.is_secret(element) else None
        name = name_before(tokens, place)
        if name is None:
            return None
        ends = _BARE_LINE if sign.text == ":" and not name.quote else _ENDS[sign.text]
        if sign.text != ",":
            if not self.is_secret(name.text):
                return None
            first = _behind_signs(tokens, place, behind=behind_blank if name.quote else behind_space)
            return _Value(first, ends, quote=name.quote, level=sign.level)
        if not name.quote or _plain(name.text) not in self._names:  # in a list, one that is nothing else
            return None
        first = _behind_word_value(tokens, behind_blank(tokens, place + 1))
        return _Value(first, ends, quote=name.quote, level=sign.level)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _behind_signs(tokens: list[Token], place: int, *, behind: Callable[[list[Token], int], int]) -> int:
    """Behind the sign there and what is blank, and behind the second half of `:=`, `==` or `=>`."""
    place += 1
    while place < len(tokens) and tokens[place].kind == "mark" and tokens[place].text in ":=>":
        place += 1
    return behind(tokens, place)


def _behind_word_value(tokens: list[Token], place: int) -> int:
    """Behind `"value":`, where that stands there, as in lists of headers."""
    said = [each.text for each in tokens[place : place + 3]]
    if len(said) < 3 or said[1].lower() not in _VALUE or said[0] != said[2]:
        return place
    sign = behind_blank(tokens, place + 3)
    if sign == len(tokens) or tokens[sign].text != ":":
        return place
    return behind_blank(tokens, sign + 1)


def _value_end(tokens: list[Token], value: _Value) -> int:
    """Behind the last token of that value."""
    place = value.first
    if value.element:
        return _element_end(tokens, place, element=value.element)
    if place >= len(tokens):
        return place
    if tokens[place].kind == "quote":
        return _string_end(tokens, place)
    if tokens[place].text in ("{", "["):
        return _nested_end(tokens, place)
    while place < len(tokens) and not _ends(tokens[place], value):
        place += 1
    if place < len(tokens) and value.quote and tokens[place].text == value.quote:
        return _string_end(tokens, place)  # what stood before is blank in a way that is not known here
    return place


def _ends(token: Token, value: _Value) -> bool:
    if token.level > value.level:
        return False
    if token.kind in ("line", "escape"):
        return "\n" in value.ends
    if token.kind == "space":
        return " " in value.ends
    return token.kind == "quote" or (token.kind == "mark" and token.text in value.ends)


def _element_end(tokens: list[Token], place: int, *, element: str) -> int:
    """Before the closing tag of that name; the end of all if it does not come."""
    for end in range(place, len(tokens) - 2):
        if tokens[end].text == "<":
            slash = end + 1 + (tokens[end + 1].kind == "escape")  # as some have it in JSON: <\/name>
            if tokens[slash].text == "/" and tag_at(tokens, slash + 1) == element:
                return end
    return len(tokens)


def _string_end(tokens: list[Token], place: int) -> int:
    """Behind the same quote with as many backslashes and a string at once behind it; else the end of all."""
    quote = tokens[place].text
    is_open = False
    while place < len(tokens) and (is_open or tokens[place].text == quote):
        is_open ^= tokens[place].text == quote
        place += 1
    return place


def _nested_end(tokens: list[Token], place: int) -> int:
    """Behind the bracket that closes the one there."""
    depth, level = 0, tokens[place].level
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "quote":
            place = _string_end(tokens, place)
            continue
        if token.level == level:
            depth += _opened(token)
        place += 1
        if not depth:
            break
    return place


def _opened(token: Token) -> int:
    """How many brackets that opens; -1 if it closes one."""
    return (token.text in ("{", "[")) - (token.text in ("}", "]"))


def _replaced(text: str, first: Token, last: Token) -> str:
    """What stands for a value, in the quotes that it had."""
    if text[first.start : last.end] == REDACTED:
        return REDACTED
    if first.kind != "quote":
        return REDACTED
    return (
        f"{first.text}{REDACTED}{last.text if last.start > first.start and last.text == first.text else ''}"
    )


class _Depth:
    """How many brackets are open since something not known, which may have begun a string, or ended one.

    Both are reckoned with, for each way to write a quote; what is open by either counts.
    """

    def __init__(self, open_before: int) -> None:
        self._open = self._before = open_before
        self._strings: dict[str, _Strings] = {}

    def add(self, token: Token) -> None:
        self._open += _opened(token)
        if token.kind == "quote":
            self._strings.setdefault(token.text, _Strings(self._before)).turn(self._open)

    def most(self, quote: str) -> int:
        """What may be open by that quote."""
        strings = self._strings.get(quote)
        return self._open if strings is None else strings.most(self._open)

    def most_of_all(self) -> int:
        """What may be open by any quote."""
        return max(map(self.most, self._strings), default=self._open)


class _Strings:
    """What is open outside of strings, if the first quote begins one, and if it ends one."""

    def __init__(self, before: int) -> None:
        self._open = [before, before]
        self._since, self._turn = before, 0

    def turn(self, total: int) -> None:
        self._open[self._turn] += total - self._since
        self._since, self._turn = total, 1 - self._turn

    def most(self, total: int) -> int:
        now = total - self._since
        return max(self._open[self._turn] + now, self._open[1 - self._turn])


def _hide_behind_unknown(text: str) -> str:
    """`text` without what follows something that is not known, up to the next name that is, and that stands
    no deeper: it may belong to the name of a secret."""
    tokens = tokens_of(text)
    clean, position = "", 0
    depth: _Depth | None = None
    for place, token in enumerate(tokens):
        if UNKNOWN in token.text:
            if depth is None:
                run = text.index(UNKNOWN, token.start)
                clean, position = clean + text[position:run], _behind_run(text, run)
                clean += "·" * min(_MOST_UNKNOWN, position - run)
            depth = _Depth(0 if depth is None else max(0, depth.most_of_all()))
        elif depth is not None:
            depth.add(token)
            known = _known_name(tokens, place) if token.text == ":" else None
            if known and known.start >= position and depth.most(known.quote) <= 0:
                clean += HIDDEN if known.start > position else ""
                position, depth = known.start, None
    if depth is None:
        return clean + text[position:]
    return clean + (HIDDEN if position < len(text) else "")


def _behind_run(text: str, start: int) -> int:
    while text[start : start + 1] == UNKNOWN:
        start += 1
    return start


def _known_name(tokens: list[Token], place: int) -> Name | None:
    """The name in quotes before the sign there, if it is known to its end and may begin what is another's."""
    name = name_before(tokens, place)
    if name is None or not name.quote or UNKNOWN in name.text:
        return None
    return None if _plain(name.text) in _VALUE else name
