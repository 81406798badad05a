"""Values that stand behind the names of secrets: in JSON, queries, header lines, XML, forms and commands."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.core.form_parts import Part, part_before, part_value
from proxy.core.named_values import VALUE, Span
from proxy.core.text_tokens import (
    Token,
    behind_blank,
    behind_space,
    element_of,
    name_before,
    opened,
    tag_at,
)

# What ends a value that is not quoted, by the sign before it.
_ENDS = {
    ":": frozenset("\n,}]\"'"),
    "=": frozenset("\n &;,\"'<>"),
    ",": frozenset("\n,}]\"'"),
    " ": frozenset("\n \"'"),  # of an option: --password x
}
_BARE_LINE = frozenset("\n\"'")
# What may stand behind a string, so that the quote before is its end.
_BEHIND_STRINGS = frozenset({",", "}", "]", ":"})


class _Value(NamedTuple):
    """Where the value of a secret begins, and what ends it if it is not quoted."""

    first: int
    ends: frozenset[str] = frozenset()
    quote: str = ""  # of its name
    element: str = ""  # whose text it is
    part: Part | None = None  # of a form, whose body it is
    level: int = 0  # of the sign before it: what is encoded more often does not end it


class ValuesBeside:
    """Finds those of one text.

    `is_secret` says whether a name is of a secret, `is_name` whether it is nothing else. Not `is_whole`:
    there was more of the text.
    """

    def __init__(
        self,
        tokens: list[Token],
        *,
        is_secret: Callable[[str], bool],
        is_name: Callable[[str], bool],
        is_whole: bool,
    ) -> None:
        self._tokens, self._is_secret, self._is_name = tokens, is_secret, is_name
        self._is_whole = is_whole
        self._closings: dict[str, list[int]] | None = None

    def spans(self) -> Iterator[Span]:
        """From which token, before which one; no two have one in common."""
        place = 0
        while place < len(self._tokens):
            value = self._value_behind(place)
            if value is None:
                place += 1
                continue
            first, end = self._span_of(value)
            if end > first:
                yield first, end
            place = max(end, value.first)

    def _value_behind(self, place: int) -> _Value | None:
        """The value of a secret whose name ends at the sign there; None: no such name does."""
        sign = self._tokens[place]
        if sign.kind == "space":
            return self._value_of_option(place)
        if sign.kind != "mark" or sign.text not in ":=,>":
            return None
        if sign.text == ">":
            element = element_of(self._tokens, place)
            return _Value(place + 1, element=element) if self._is_secret(element) else None
        if sign.text == ",":
            return self._value_in_list(place)
        return self._value_of_name(place)

    def _value_of_option(self, place: int) -> _Value | None:
        """As in `--password x`; an option that follows is none."""
        if not place or place + 1 == len(self._tokens):
            return None
        option, behind = self._tokens[place - 1], self._tokens[place + 1]
        if option.kind != "word" or not option.text.startswith("-") or behind.text.startswith("--"):
            return None
        if not self._is_secret(option.text):
            return None
        return _Value(place + 1, _ENDS[" "], level=self._tokens[place].level)

    def _value_in_list(self, place: int) -> _Value | None:
        """Of a name in quotes that is nothing else, or an option."""
        tokens, name = self._tokens, name_before(self._tokens, place)
        if name is None or not name.quote:
            return None
        is_option = name.text.removeprefix(name.quote).startswith("-") and self._is_secret(name.text)
        if not (is_option or self._is_name(name.text)):
            return None
        first = _behind_word_value(tokens, behind_blank(tokens, place + 1))
        return _Value(first, _ENDS[","], quote=name.quote, level=tokens[place].level)

    def _value_of_name(self, place: int) -> _Value | None:
        tokens, name, sign = self._tokens, name_before(self._tokens, place), self._tokens[place]
        if name is None:
            return None
        if not self._is_secret(name.text):
            part = part_before(tokens, place) if name.text == "name" else None
            return _Value(part.first, part=part) if part and self._is_secret(part.name) else None
        ends = _BARE_LINE if sign.text == ":" and not name.quote else _ENDS[sign.text]
        first = _behind_signs(tokens, place, behind=behind_blank if name.quote else behind_space)
        return _Value(first, ends, quote=name.quote, level=sign.level)

    def _span_of(self, value: _Value) -> Span:
        tokens, place = self._tokens, value.first
        if value.part is not None:
            return part_value(tokens, value.part)
        if value.element:
            return place, self._element_end(place, value.element)
        if place >= len(tokens):
            return place, place
        if tokens[place].kind == "quote":
            return place, _string_end(tokens, place)
        if tokens[place].text in ("{", "["):
            return place, _nested_end(tokens, place)
        while place < len(tokens) and not _ends(tokens[place], value):
            place += 1
        if place < len(tokens) and value.quote and tokens[place].text == value.quote:
            place = _string_end(tokens, place)  # what stood before is blank in a way that is not known here
        return value.first, place

    def _element_end(self, place: int, element: str) -> int:
        """Before the closing tag of that name. If it does not come, and there is no more of the text: before
        the end of the line, or of the string that the tag stands in."""
        if self._closings is None:
            self._closings = _closings_of(self._tokens)
        ends = self._closings.get(element, [])
        at = bisect_left(ends, place)
        if at < len(ends):
            return ends[at]
        return _unclosed_end(self._tokens, place) if self._is_whole else len(self._tokens)


def _closings_of(tokens: list[Token]) -> dict[str, list[int]]:
    """Where closing tags begin, by the name of the element."""
    found = defaultdict(list)
    for at in range(len(tokens) - 2):
        if tokens[at].text == "<":
            slash = at + 1 + (tokens[at + 1].kind == "escape")  # as some have it in JSON: <\\/name>
            if tokens[slash].text == "/":
                found[tag_at(tokens, slash + 1)].append(at)
    return found


def _unclosed_end(tokens: list[Token], place: int) -> int:
    """The end of the first line that has something in it, or of the string, unless JSON stands within."""
    place = behind_blank(tokens, place)
    if place < len(tokens) and tokens[place].kind == "quote" and _ends_string(tokens, place):
        return place
    has_quotes = place < len(tokens) and (tokens[place].kind == "quote" or tokens[place].text in ("{", "["))
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "line" or (token.kind == "escape" and _begins_line(tokens, place)):
            break
        if token.kind == "quote" and not has_quotes and _ends_string(tokens, place):
            break
        place += 1
    return place


def _begins_line(tokens: list[Token], place: int) -> bool:
    """Whether that is the first half of a line that is escaped."""
    return place + 1 < len(tokens) and tokens[place + 1].text[:1] in ("n", "r")


def _ends_string(tokens: list[Token], place: int) -> bool:
    behind = place + 1 + (place + 1 < len(tokens) and tokens[place + 1].kind == "space")
    return behind >= len(tokens) or tokens[behind].text in _BEHIND_STRINGS


def _behind_signs(tokens: list[Token], place: int, *, behind: Callable[[list[Token], int], int]) -> int:
    """Behind the sign there and what is blank, and behind the second half of `:=`, `==` or `=>`."""
    place += 1
    while place < len(tokens) and tokens[place].kind == "mark" and tokens[place].text in ":=>":
        place += 1
    return behind(tokens, place)


def _behind_word_value(tokens: list[Token], place: int) -> int:
    """Behind `"value":`, where that stands there, as in lists of headers."""
    said = [each.text for each in tokens[place : place + 3]]
    if len(said) < 3 or said[1].lower() not in VALUE or said[0] != said[2]:
        return place
    sign = behind_blank(tokens, place + 3)
    if sign == len(tokens) or tokens[sign].text != ":":
        return place
    return behind_blank(tokens, sign + 1)


def _ends(token: Token, value: _Value) -> bool:
    if token.level > value.level:
        return False
    if token.kind in ("line", "escape"):
        return "\n" in value.ends
    if token.kind == "space":
        return " " in value.ends
    return token.kind == "quote" or (token.kind == "mark" and token.text in value.ends)


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
            depth += opened(token)
        place += 1
        if not depth:
            break
    return place
