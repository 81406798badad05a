"""Values that stand behind the names of secrets: in JSON, queries, header lines, XML, forms and commands."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from proxy.core.form_parts import Part, Parts, part_value
from proxy.core.named_values import NAMING, Span, plain
from proxy.core.open_strings import OpenStrings, begins_line, behind_fold
from proxy.core.text_tokens import (
    Token,
    Tokens,
    behind_blank,
    behind_space,
    name_before,
    opened,
    string_at,
    tag_at,
    tag_before,
)

# What ends a value that is not quoted, by the sign before it. A quote does that was open.
_ENDS = {
    ":": frozenset("\n,}]"),
    "=": frozenset("\n &;,<"),
    ",": frozenset("\n,}]"),
    " ": frozenset("\n "),  # of an option: --password x
}
_BARE_LINE = frozenset("\n")  # of a header, which goes on in lines that are indented
_SIGNS = frozenset(":=,>")
# What may stand behind a string, so that the quote before is its end.
_BEHIND_STRINGS = frozenset({",", "}", "]", ":"})
# What may stand behind a value in quotes or in brackets, where that has ended.
_BEHIND_VALUES = frozenset(",}]")
_BEHIND_WORDS = frozenset(",}])>/")


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
        tokens: Tokens,
        *,
        is_secret: Callable[[str], bool],
        is_name: Callable[[str], bool],
        is_whole: bool,
    ) -> None:
        self._tokens, self._is_secret, self._is_name = tokens, is_secret, is_name
        self._is_whole = is_whole
        self._closings: dict[str, list[int]] | None = None
        self._parts: Parts | None = None
        self._open = OpenStrings(tokens)

    def spans(self) -> Iterator[Span]:
        """From which token, before which one; no two have one in common."""
        place = 0
        while place < len(self._tokens):
            kind = self._tokens[place].kind
            value = self._value_behind(place) if kind in ("mark", "space") else None
            if value is None:
                if kind != "word":
                    self._open.read(place)
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
        if sign.text not in _SIGNS:
            return None
        if sign.text == ">":
            return self._value_of_element(place)
        if sign.text == ",":
            return self._value_in_list(place)
        return self._value_of_name(place)

    def _value_of_element(self, place: int) -> _Value | None:
        """Of one that is a secret's by its own name, or by one that an attribute says."""
        tokens = self._tokens
        first, element = tag_before(tokens, place)
        if not element:
            return None
        says = (at for at in range(first + 1, place) if tokens[at].text == "=" and _is_naming(tokens[at - 1]))
        names = (string_at(tokens, at + 1)[0] for at in says)
        if self._is_secret(element) or (
            self._may_have_text(place, element) and any(map(self._is_secret, names))
        ):
            return _Value(place + 1, element=element)
        return None

    def _may_have_text(self, place: int, element: str) -> bool:
        """Unless it is one that is not closed, as many of HTML."""
        return not self._is_whole or self._closing(place, element) is not None

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
        is_option = name.text.startswith("-") and tokens[name.first + 2].kind == "quote"
        if not (self._is_secret(name.text) if is_option else self._is_name(name.text)):
            return None
        first = behind_blank(tokens, place + 1)
        if _is_key(tokens, first):  # the name was a value, of an object
            return None
        return _Value(first, _ENDS[","], quote=name.quote, level=tokens[place].level)

    def _value_of_name(self, place: int) -> _Value | None:
        tokens, name, sign = self._tokens, name_before(self._tokens, place), self._tokens[place]
        if name is None:
            return None
        if not self._is_secret(name.text):
            part = self._part_before(place) if name.text == "name" else None
            return _Value(part.first, part=part) if part and self._is_secret(part.name) else None
        ends = _BARE_LINE if sign.text == ":" and not name.quote else _ENDS[sign.text]
        first = _behind_signs(tokens, place, behind=behind_blank if name.quote else behind_space)
        return _Value(first, ends, quote=name.quote, level=sign.level)

    def _part_before(self, place: int) -> Part | None:
        if self._parts is None:
            self._parts = Parts(self._tokens)
        return self._parts.before(place)

    def _span_of(self, value: _Value) -> Span:
        tokens, place = self._tokens, value.first
        if value.part is not None:
            return part_value(tokens, value.part)
        if value.element:
            return place, self._element_end(place, value.element)
        if place >= len(tokens):
            return place, place
        if tokens[place].kind != "quote" and tokens[place].text not in ("{", "["):
            return place, self._bare_end(place, value)
        end = _string_end(tokens, place) if tokens[place].kind == "quote" else _nested_end(tokens, place)
        return place, self._bare_end(end, value) if self._goes_on(end, value) else end

    def _goes_on(self, place: int, value: _Value) -> bool:
        """Whether one of a name that is not quoted does, behind a string or brackets: as in `a='b'c`."""
        tokens = self._tokens
        if value.quote or place == len(tokens):
            return False
        is_line = value.ends is _BARE_LINE
        place += is_line and tokens[place].kind == "space"
        if place == len(tokens) or self._ends(place, value.ends):
            return False
        return tokens[place].text[0] not in (_BEHIND_VALUES if is_line else _BEHIND_WORDS)

    def _bare_end(self, place: int, value: _Value) -> int:
        """Before what ends it, of which what is encoded more often than the sign of its name is nothing."""
        tokens = self._tokens
        while place < len(tokens):
            token = tokens[place]
            if token.kind == "quote" and token.text == value.quote:  # blank in a way that is not known here
                return _string_end(tokens, place)
            if token.level <= value.level and self._ends(place, value.ends):
                behind = behind_fold(tokens, place) if value.ends is _BARE_LINE else place
                if behind == place:
                    break
                place = behind
            else:
                place += 1
        return place

    def _ends(self, place: int, ends: frozenset[str]) -> bool:
        token = self._tokens[place]
        if token.kind == "quote":
            return self._open.has(token.text)
        if token.kind in ("line", "escape"):
            return "\n" in ends and (token.kind == "line" or self._open.is_line(place))
        if token.kind == "space":
            return " " in ends
        if token.kind != "mark":
            return token.kind == "hidden"
        return token.text in ends and (" " not in ends or _is_end(self._tokens, place))

    def _element_end(self, place: int, element: str) -> int:
        """Before the closing tag of that name. If it does not come, and there is no more of the text: before
        the end of the line, or of the string that the tag stands in."""
        closing = self._closing(place, element)
        if closing is not None:
            return closing
        return _unclosed_end(self._tokens, place) if self._is_whole else len(self._tokens)

    def _closing(self, place: int, element: str) -> int | None:
        if self._closings is None:
            self._closings = _closings_of(self._tokens)
        ends = self._closings.get(element, [])
        at = bisect_left(ends, place)
        return ends[at] if at < len(ends) else None


def _closings_of(tokens: Tokens) -> dict[str, list[int]]:
    """Where closing tags begin, by the name of the element."""
    found = defaultdict(list)
    for at in range(len(tokens) - 2):
        if tokens[at].text == "<":
            slash = at + 1 + (tokens[at + 1].kind == "escape")  # as some have it in JSON: <\\/name>
            if tokens[slash].text == "/":
                found[tag_at(tokens, slash + 1)].append(at)
    return found


def _unclosed_end(tokens: Tokens, place: int) -> int:
    """The end of the first line that has something in it, or of the string, unless JSON stands within."""
    place = behind_blank(tokens, place)
    if place < len(tokens) and tokens[place].kind == "quote" and _ends_string(tokens, place):
        return place
    has_quotes = place < len(tokens) and (tokens[place].kind == "quote" or tokens[place].text in ("{", "["))
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "line" or (token.kind == "escape" and begins_line(tokens, place)):
            break
        if token.kind == "quote" and not has_quotes and _ends_string(tokens, place):
            break
        place += 1
    return place


def _ends_string(tokens: Tokens, place: int) -> bool:
    behind = place + 1 + (place + 1 < len(tokens) and tokens[place + 1].kind == "space")
    return behind >= len(tokens) or tokens[behind].text in _BEHIND_STRINGS


def _behind_signs(tokens: Tokens, place: int, *, behind: Callable[[Tokens, int], int]) -> int:
    """Behind the sign there and what is blank, and behind the second half of `:=`, `==` or `=>`."""
    place += 1
    while place < len(tokens) and tokens[place].kind == "mark" and tokens[place].text in ":=>":
        place += 1
    return behind(tokens, place)


def _is_naming(token: Token) -> bool:
    return plain(token.text) in NAMING


def _is_key(tokens: Tokens, place: int) -> bool:
    """Whether a string begins there that is the key of a value."""
    if place == len(tokens) or tokens[place].kind != "quote":
        return False
    _, behind = string_at(tokens, place)
    sign = behind_blank(tokens, behind)
    is_closed = behind > place + 1 and tokens[behind - 1].text == tokens[place].text
    return is_closed and sign < len(tokens) and tokens[sign].text == ":"


def _is_end(tokens: Tokens, place: int) -> bool:
    """Whether a sign that may end a word does: a tag that is closed; what no word follows but a name."""
    sign, kinds = tokens[place].text, [each.kind for each in tokens[place + 1 : place + 3]]
    if sign == "<":
        return any(each.text[0] in "/\\" for each in tokens[place + 1 : place + 2])
    if sign not in ",;" or kinds[:1] != ["word"]:
        return True
    return kinds[1:] == ["mark"] and tokens[place + 2].text in "=:"


def _string_end(tokens: Tokens, place: int) -> int:
    """Behind the same quote with as many backslashes and a string at once behind it; else the end of all."""
    quote = tokens[place].text
    is_open = False
    while place < len(tokens) and (is_open or tokens[place].text == quote):
        if tokens[place].kind == "hidden" and [each.text for each in tokens[place + 1 : place + 2]] == [
            quote[-1]
        ]:
            break  # what is not known ended it: the next name begins
        is_open ^= tokens[place].text == quote
        place += 1
    return place


def _nested_end(tokens: Tokens, place: int) -> int:
    """Behind the bracket that closes the one there."""
    depth, level = 0, tokens[place].level
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "quote":
            place = _string_end(tokens, place)
            continue
        if token.kind == "hidden":  # which may have ended it, or have opened more
            return len(tokens)
        if token.level == level:
            depth += opened(token)
        place += 1
        if not depth:
            break
    return place
