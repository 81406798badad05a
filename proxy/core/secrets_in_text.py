"""Secrets taken out of messages that staff look at, by the names that stand beside them.

Text is looked through as JSON, as JSON in a string, as a query, as header lines and as XML, whatever it is,
however it is cut, and where its beginning is not known. What is in doubt is taken out. A text is gone through
once, from the front to the back: no client can write one that takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from proxy.core.redaction import REDACTED, redacted

# A character that is not known: half of a surrogate, which no text that was decoded has.
UNKNOWN = "\udc00"
HIDDEN = "[hidden: what stands before is not known]"

_TOKEN = re.compile(
    r"""(?P<quote>(?>\\*)["'])|(?P<escape>\\+)|(?P<word>[\w.\-\udc00]+)|(?P<line>[\r\n]+)|(?P<space>[ \t]+)"""
    r"""|(?P<mark>[:=,{}\[\]<>&;])|(?P<other>[^\\"'\w.\-\udc00\r\n \t:=,{}\[\]<>&;]+)"""
)
_SCHEME = re.compile(r"\b(?:Bearer|Basic|Digest)[ \t]{1,8}[\w.~+/=-]{6,}", re.IGNORECASE)
_ESCAPED = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")
_SEPARATORS: dict[int, None] = {code: None for code in range(128) if not chr(code).isalnum()}
# How far back the beginning of a name is looked for; what is longer is looked at in part.
_MOST_BACK = 16
_MOST_UNKNOWN = 8  # signs for a run of what is not known


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


class _Name(NamedTuple):
    text: str
    start: int
    is_quoted: bool


class _Value(NamedTuple):
    """Where the value of a secret begins, and what ends it if it is not quoted."""

    first: int
    ends: frozenset[str]


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
        tokens = _tokens(text)
        place = kept = 0
        while place < len(tokens):
            value = self._value_behind(tokens, place)
            if value is None:
                place += 1
                continue
            first = value.first
            place = _value_end(tokens, first, ends=value.ends)
            if place > first:
                yield text[kept : tokens[first].start] + _replaced(text, tokens[first], tokens[place - 1])
                kept = tokens[place - 1].end
            place = max(place, first)
        yield text[kept:]

    def _value_behind(self, tokens: list[_Token], place: int) -> _Value | None:
        """The value of a secret whose name ends at the sign there; None: no such name does."""
        sign = tokens[place]
        if sign.kind != "mark" or sign.text not in ":=,>":
            return None
        if sign.text == ">":
            named = _element(tokens, place)
            return _Value(place + 1, _ENDS[">"]) if named and self.is_secret(named) else None
        name = _name_before(tokens, place)
        if name is None:
            return None
        ends = _BARE_LINE if sign.text == ":" and not name.is_quoted else _ENDS[sign.text]
        if sign.text != ",":
            return _Value(_behind_space(tokens, place + 1), ends) if self.is_secret(name.text) else None
        if not name.is_quoted or _plain(name.text) not in self._names:  # in a list, one that is nothing else
            return None
        return _Value(_behind_word_value(tokens, _behind_space(tokens, place + 1)), ends)


# What ends a value that is not quoted, by the sign before it.
_ENDS = {
    ":": frozenset("\n,}]\"'"),
    "=": frozenset("\n &;,\"'<>"),
    ",": frozenset("\n,}]\"'"),
    ">": frozenset("<"),
}
_BARE_LINE = frozenset("\n\"'")


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _tokens(text: str) -> list[_Token]:
    return [_Token(str(each.lastgroup), each[0], each.start(), each.end()) for each in _TOKEN.finditer(text)]


def _name_before(tokens: list[_Token], place: int) -> _Name | None:
    """The name that ends before the sign there, in quotes or a word."""
    last = place - 1
    while last >= 0 and tokens[last].kind == "space":
        last -= 1
    if last < 0:
        return None
    if tokens[last].kind != "quote":
        word = tokens[last]
        return _Name(word.text, word.start, is_quoted=False) if _is_word(word) else None
    quote, first = tokens[last].text, last - 1
    least = max(0, last - _MOST_BACK)
    while first > least and tokens[first].text != quote:
        first -= 1
    if first < least:
        return None
    return _Name("".join(each.text for each in tokens[first:last]), tokens[first].start, is_quoted=True)


def _is_word(token: _Token) -> bool:
    return token.kind == "word"


def _element(tokens: list[_Token], place: int) -> str:
    """The name of the XML element whose opening tag ends there, or is cut by that sign; "" if it is none."""
    back = place - 1
    while back >= 0 and tokens[back].text not in ("<", ">"):  # up to the one before: no token is met twice
        back -= 1
    named = back >= 0 and tokens[back].text == "<" and _is_word(tokens[back + 1])
    return tokens[back + 1].text if named else ""


def _behind_space(tokens: list[_Token], place: int) -> int:
    while place < len(tokens) and tokens[place].kind == "space":
        place += 1
    return place


def _behind_word_value(tokens: list[_Token], place: int) -> int:
    """Behind `"value":`, where that stands there, as in lists of headers."""
    said = [each.text for each in tokens[place : place + 6] if each.kind != "space"]
    if len(said) < 4 or said[1] != "value" or said[3] != ":":
        return place
    while tokens[place].text != ":":
        place += 1
    return _behind_space(tokens, place + 1)


def _value_end(tokens: list[_Token], place: int, *, ends: frozenset[str]) -> int:
    """Behind the last token of the value that begins there."""
    if place >= len(tokens):
        return place
    if tokens[place].kind == "quote" and ends != _ENDS[">"]:
        return _string_end(tokens, place)
    if tokens[place].text in ("{", "["):
        return _nested_end(tokens, place)
    while place < len(tokens) and not _ends(tokens[place], ends):
        place += 1
    return place


def _ends(token: _Token, ends: frozenset[str]) -> bool:
    if token.kind in ("line", "escape"):
        return "\n" in ends
    if token.kind == "space":
        return " " in ends
    return token.text[-1:] in ends and token.kind in ("mark", "quote")


def _string_end(tokens: list[_Token], place: int) -> int:
    """Behind the same quote with as many backslashes; the end of all if it does not come."""
    quote = tokens[place].text
    for end in range(place + 1, len(tokens)):
        if tokens[end].text == quote:
            return end + 1
    return len(tokens)


def _nested_end(tokens: list[_Token], place: int) -> int:
    """Behind the bracket that closes the one there."""
    depth = 0
    while place < len(tokens):
        if tokens[place].kind == "quote":
            place = _string_end(tokens, place)
            continue
        depth += (tokens[place].text in "{[") - (tokens[place].text in "}]")
        place += 1
        if not depth:
            break
    return place


def _replaced(text: str, first: _Token, last: _Token) -> str:
    """What stands for a value, in the quotes that it had."""
    if text[first.start : last.end] == REDACTED:
        return REDACTED
    if first.kind != "quote":
        return REDACTED
    return (
        f"{first.text}{REDACTED}{last.text if last.start > first.start and last.text == first.text else ''}"
    )


def _hide_behind_unknown(text: str) -> str:
    """`text` without what follows something that is not known, up to the next name that is: it may belong to
    the name of a secret."""
    names = _known_names(text)
    clean, position = "", 0
    key = next(names)
    for run in re.finditer(f"{UNKNOWN}+", text):
        if run.start() < position:
            continue
        while key < run.end():
            key = next(names)
        clean += text[position : run.start()] + "·" * min(_MOST_UNKNOWN, len(run[0]))
        clean += HIDDEN if key > run.end() else ""
        position = key
    return clean + text[position:]


def _known_names(text: str) -> Iterator[int]:
    """Where names begin that are known to their end; at last the end of the text."""
    tokens = _tokens(text)
    for place, token in enumerate(tokens):
        if token.text == ":":
            name = _name_before(tokens, place)
            if name is not None and name.is_quoted and UNKNOWN not in name.text:
                yield name.start
    yield len(text)
