"""Values whose name is a value itself: `{"value": …, "name": "password"}`, whichever of the two comes first.

Objects, lists, XML tags and strings with such in them are gone through once, from the front to the back, with
what is open kept in a stack: what is put on it is taken off once, so no text takes long.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from proxy.core.text_tokens import Token, Tokens, behind_blank, is_blank_letter, name_before, string_at

# Keys of a name, and of what it names.
NAMING = frozenset(
    {
        "name",
        "key",
        "field",
        "header",
        "label",
        "id",
        "param",
        "parameter",
        "path",
        "property",
        "variable",
        "k",
    }
)
VALUE = frozenset({"value", "values", "val", "v", "content"})
_ANY_VALUE = re.compile(r"val|content|\bv\b", re.IGNORECASE)
_BARE_ENDS = frozenset("\n,;&}]>")
_SEPARATORS: dict[int, None] = {code: None for code in range(128) if not chr(code).isalnum()}
Span = tuple[int, int]


def plain(name: str) -> str:
    """As names are told from each other: without their case and their dashes."""
    if name.isascii():  # takes a tenth of the time
        return name.translate(_SEPARATORS).lower()
    return "".join(filter(str.isalnum, name)).lower()


@dataclass(slots=True)
class _Open:
    """A bracket, a tag or a string that is open, or the text itself.

    Attributes:
        start: the place of the token that opens it.
        names: whether a secret is named in it.
        values: what may be its value: from which token, before which one.
        first: where a value begins that has not ended yet; None without one.
        ends: what ends that, if it is not quoted; None if it is, or is in brackets.
    """

    start: int
    sign: str
    names: bool = False
    values: list[Span] = field(default_factory=list)
    first: int | None = None
    ends: frozenset[str] | None = None

    def end_value(self, behind: int) -> None:
        if self.first is not None:
            self.values.append((self.first, max(behind, self.first)))
        self.first = self.ends = None


def may_be_in(text: str) -> bool:
    """Whether any value whose name is one may be in it: most texts need not be gone through for them."""
    return _ANY_VALUE.search(text) is not None


class NamedValues:
    """Finds those of one text."""

    def __init__(self, tokens: Tokens, names_secret: Callable[[str, bool], bool]) -> None:
        """`names_secret` is asked about what stands in place of a name, and whether its key says that it is
        one."""
        self._tokens, self._names_secret, self._plain = tokens, names_secret, cache(plain)
        self._stack = [_Open(-1, "")]
        self._strings: Counter[str] = Counter()  # that are open, by their quote

    def spans(self) -> Iterator[Span]:
        """The values of secrets: from which token, before which one."""
        for place, token in enumerate(self._tokens):
            top = self._stack[-1]
            if (
                top.ends is not None
                and top.first is not None
                and place >= top.first
                and _ends(token, top.ends)
            ):
                top.end_value(place)
            if token.kind == "quote":
                yield from self._quote(place, token.text)
            elif token.kind == "mark":
                yield from self._mark(place, token.text)
            elif token.kind == "hidden":
                yield from self._lose(place)
        while self._stack:
            yield from self._pop(len(self._tokens))

    def _mark(self, place: int, sign: str) -> Iterator[Span]:
        if sign in "{[<":
            self._stack.append(_Open(place, sign))
        elif sign in "}]>":
            yield from self._close(place, sign)
        elif sign in ":=":
            self._key(place, sign)

    def _lose(self, place: int) -> Iterator[Span]:
        """What is hidden may have named whatever is open, and ended the string that it began in: if there is
        more, that begins with the quote of a name."""
        for each in self._stack:
            each.names = True
        quote = self._tokens[place + 1].text if place + 1 < len(self._tokens) else ""
        if self._strings[quote]:
            yield from self._quote(place, quote)

    def _quote(self, place: int, quote: str) -> Iterator[Span]:
        """One that is open ends there, with all that began in it; else one begins, unless that is within a
        word, as an apostrophe is."""
        if self._strings[quote]:
            while self._stack[-1].sign != quote:
                yield from self._pop(place)
            yield from self._pop(place + 1)
        elif not place or self._tokens[place - 1].kind != "word" or is_blank_letter(self._tokens, place - 1):
            self._strings[quote] += 1
            self._stack.append(_Open(place, quote))

    def _close(self, place: int, sign: str) -> Iterator[Span]:
        """The bracket that is open ends there; signs that are only less or greater are none."""
        if sign != ">":
            while self._stack[-1].sign == "<":
                yield from self._pop(place)
        if self._stack[-1].sign in (("<",) if sign == ">" else ("{", "[")):
            yield from self._pop(place + 1)

    def _pop(self, behind: int) -> Iterator[Span]:
        """The innermost ends before that token."""
        ended = self._stack.pop()
        if self._strings[ended.sign]:
            self._strings[ended.sign] -= 1
        ended.end_value(behind)
        if ended.names:
            yield from ended.values
        if self._stack and self._stack[-1].first == ended.start:
            self._stack[-1].end_value(behind)

    def _key(self, place: int, sign: str) -> None:
        """What stands behind the sign there is a name, or a value, if the key before it says so."""
        key = name_before(self._tokens, place)
        if key is None:
            return
        top, said = self._stack[-1], self._plain(key.text)
        first = behind_blank(self._tokens, place + 1)
        if said in VALUE:
            if top.first is None and first < len(self._tokens):
                top.first, top.ends = first, self._ends_of(first, sign, is_quoted=bool(key.quote))
            return
        named, _ = string_at(self._tokens, first)
        if named and (said in NAMING or key.quote) and self._names_secret(named, said in NAMING):
            top.names = True

    def _ends_of(self, first: int, sign: str, *, is_quoted: bool) -> frozenset[str] | None:
        """What ends the value there; None if it ends with its quote or its bracket."""
        token = self._tokens[first]
        if token.kind == "quote" or token.text in ("{", "["):
            return None
        if sign == "=":
            return _BARE_ENDS | {" "}
        return _BARE_ENDS if is_quoted else frozenset("\n")


def _ends(token: Token, ends: frozenset[str]) -> bool:
    if token.kind in ("line", "escape"):
        return "\n" in ends
    if token.kind == "quote":
        return "," in ends
    return token.kind in ("mark", "space") and token.text[:1] in ends
