"""Text taken apart into the signs that tell names from values: of JSON, queries, headers and XML.

No token is looked at more than a few times, whatever the text: who writes it may want it to take long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

# A character that is not known: half of a surrogate, which no text that was decoded has.
UNKNOWN = "\udc00"
# How much of a text is looked at: what is behind is hidden.
MOST_TOKENS = 1000
REST = "[hidden: too much to look at]"

_SIGN = r"(?:2[267Cc]|3[A-Ea-e]|[57][BDbd]|20|0[9ADad])"  # as codes
_SLASH = "(?:%(?:25){0,3}5[Cc])"
_TOKEN = re.compile(
    r"""(?P<quote>\\*+["'])"""
    rf"""|(?P<coded>(?:{_SLASH}{{0,8}}+%(?:25){{0,3}}|(?:\\++|{_SLASH}{{1,8}}+)u00){_SIGN})"""
    rf"""|(?P<escape>\\++|{_SLASH}++)"""
    r"""|(?P<unknown>\udc00+)|(?P<word>[\w.\-]+)|(?P<line>[\r\n]+)|(?P<space>[^\S\r\n]+)"""
    r"""|(?P<mark>[:=,{}\[\]<>&;])|(?P<percent>%)|(?P<other>[^\\"'\w.\-\udc00\s:=,{}\[\]<>&;%]+)"""
)
_CODES = re.compile("%(?:25)*..")
_PARTS = re.compile(rf"({_SLASH}+|\\*)(u00|%(?:25)*)?(..?)?")
# Of what is said, and of a comment: what is longer is looked at in part, or is none.
_MOST_SAID = 64
_MOST_COMMENT = 16
_BLANK_LETTERS = frozenset("nrtfb")


class Token(NamedTuple):
    """A sign, or what stands between two; "hidden" is what is not shown, whose text stands for it.

    `level` is how often it was percent-encoded. The text of a mark that is encoded is what it stands for;
    that of a quote is as it was written, for a quote is closed by one that is written alike.
    """

    kind: str
    text: str
    start: int
    end: int
    level: int = 0

    def moved(self, by: int) -> Token:
        return Token(self.kind, self.text, self.start + by, self.end + by, self.level)


class Name(NamedTuple):
    """`first`: the place of the token that it begins with, its quote if it has one."""

    text: str
    first: int
    quote: str  # "" without


class Tokens(list[Token]):
    """Those of a text.

    Attributes:
        twins: by the place of a quote, that of the last one before it that is written alike; -1 without one.
        names: by the place of a sign, the name that ends before it, of those that were asked for.
    """

    def __init__(self, tokens: Iterable[Token]) -> None:
        super().__init__(tokens)
        self.twins: dict[int, int] = {}
        self.names: dict[int, Name | None] = {}
        last: dict[str, int] = {}
        for place, token in enumerate(self):
            if token.kind == "quote":
                self.twins[place] = last.get(token.text, -1)
                last[token.text] = place


def tokens_of(said: str, most: int = MOST_TOKENS) -> Tokens:
    """The first ones of it; if there are more than `most`, the last one is hidden, and is all the rest."""
    tokens: list[Token] = []
    for each in islice(_TOKEN.finditer(said), most):
        kind, text, start = str(each.lastgroup), each[0], each.start()
        if kind == "coded" or (kind != "percent" and text[0] in "\\%"):
            tokens += [part.moved(start) for part in _signs(kind, text)]
        else:
            tokens.append(Token(kind, text, start, each.end()))
    if tokens and tokens[-1].end < len(said):
        tokens.append(Token("hidden", REST, tokens[-1].end, len(said)))
    return Tokens(tokens)


@lru_cache(maxsize=256)
def _signs(kind: str, said: str) -> tuple[Token, ...]:
    """What is encoded or has backslashes: a sign, and before it those that are no part of it."""
    slashes, code, sign = _PARTS.fullmatch(said).groups()  # type: ignore[union-attr]  # of what _TOKEN finds
    units = _CODES.findall(slashes) or slashes
    level = 1 + said.count("25") // said.count("%") if said[0] == "%" else 0
    least = len(units) & -len(units) if code == "u00" else 1
    before = len(units) if kind == "escape" else _escaped(len(units), least=least)
    begin = sum(map(len, units[:before]))
    escape = (Token("escape", "\\" * before, 0, begin, level),) if before else ()
    if kind == "escape":
        return escape
    if kind == "coded":
        sign = chr(int(sign, 16))
        kind = "space" if sign in " \t" else "line" if sign.isspace() else "mark"
    if sign in "\"'":
        kind, sign = "quote", said[begin:]
    return (*escape, Token(kind, sign, begin, len(said), level))


def _escaped(slashes: int, *, least: int) -> int:
    """How many of the backslashes before a sign are no part of it, as at the end of a string.

    Within n strings a quote has 2 ** n - 1 of its own, and what else is escaped a multiple of 2 ** (n + 1).
    `least`: what one of them is written as, as each string doubles that of a code.
    """
    own = slashes // least if least else 0
    return slashes - least * ((own ^ (own + 1)) >> 1)


def name_before(tokens: Tokens, place: int) -> Name | None:
    """The name that ends before the sign there: in quotes, a word, or words in brackets as in forms."""
    if place not in tokens.names:
        tokens.names[place] = _name_before(tokens, place)
    return tokens.names[place]


def _name_before(tokens: Tokens, place: int) -> Name | None:
    last = place - 1
    while last >= 0 and tokens[last].kind == "space":
        last -= 1
    if last >= 0 and tokens[last].kind == "other":  # as in `**token**: `
        last -= 1
    if last >= 0 and tokens[last].kind == "word" and not is_blank_letter(tokens, last):
        return Name(tokens[last].text, last, "")
    if last >= 0 and tokens[last].text == "]":
        return _name_in_brackets(tokens, last)
    while last >= 0 and (tokens[last].kind in ("space", "line", "escape") or is_blank_letter(tokens, last)):
        last -= 1
    return _name_in_quotes(tokens, last) if last >= 0 and tokens[last].kind == "quote" else None


def is_blank_letter(tokens: Tokens, place: int) -> bool:
    """Whether that is the second half of an escaped line or tab."""
    if not 0 < place < len(tokens):
        return False
    return tokens[place].text in _BLANK_LETTERS and tokens[place - 1].kind == "escape"


def _name_in_brackets(tokens: Tokens, last: int) -> Name:
    first = last
    while first > 0 and _is_of_brackets(tokens[first - 1]):
        first -= 1
    return Name(_said(tokens, first, last + 1), first, "")


def _is_of_brackets(token: Token) -> bool:
    return token.kind in ("word", "quote") or token.text in ("[", "]")


def _name_in_quotes(tokens: Tokens, last: int) -> Name | None:
    first = tokens.twins[last]
    return Name(_said(tokens, first + 1, last), first, tokens[last].text) if first >= 0 else None


def _said(tokens: Tokens, first: int, end: int) -> str:
    return "".join([each.text for each in tokens[first:end]])


def string_at(tokens: Tokens, place: int) -> tuple[str, int]:
    """What the string or the word there says, as far as it is looked at, and the place behind that."""
    if place >= len(tokens) or tokens[place].kind not in ("quote", "word"):
        return "", place
    if tokens[place].kind == "word":
        return tokens[place].text, place + 1
    quote, last = tokens[place].text, min(len(tokens), place + _MOST_SAID)
    ends = (at for at in range(place + 1, last) if tokens[at].text == quote or tokens[at].kind == "hidden")
    end = next(ends, last)
    return _said(tokens, place + 1, end), min(end + 1, len(tokens))


def behind_space(tokens: Tokens, place: int) -> int:
    """Behind the spaces there, and behind the end of a line if the next is indented, as it then goes on."""
    while place < len(tokens):
        kinds = [each.kind for each in tokens[place : place + 2]]
        if kinds[0] != "space" and kinds != ["line", "space"]:
            break
        place += 1
    return place


def behind_blank(tokens: Tokens, place: int) -> int:
    """Behind spaces and lines, escaped ones too, and comments."""
    while place < len(tokens):
        token = tokens[place]
        if token.kind in ("space", "line", "escape") or is_blank_letter(tokens, place):
            place += 1
        elif token.kind == "other" and token.text.startswith("/*"):
            behind = _behind_comment(tokens, place)
            if behind == place:
                break
            place = behind
        else:
            break
    return place


def _behind_comment(tokens: Tokens, place: int) -> int:
    """Behind the comment that begins there; there if it does not end soon."""
    for end in range(place, min(place + _MOST_COMMENT, len(tokens))):
        if tokens[end].text.endswith("*/"):
            return end + 1
    return place


def tag_before(tokens: Tokens, place: int) -> tuple[int, str]:
    """Of the XML tag that ends there, or is cut by that sign: the place of its name, and that name.

    "" if it opens no element, or one that has no text.
    """
    back = place - 1
    if back < 0 or (tokens[back].kind == "other" and tokens[back].text.endswith("/")):  # empty: <name/>
        return 0, ""
    while back >= 0 and tokens[back].text not in ("<", ">"):  # up to the one before: no token is met twice
        back -= 1
    return back + 1, tag_at(tokens, back + 1) if back >= 0 and tokens[back].text == "<" else ""


def tag_at(tokens: Tokens, place: int) -> str:
    """The name of an XML tag, with its prefix, that begins there; "" if none does."""
    said = tokens[place : place + 3]
    if not said or said[0].kind != "word":
        return ""
    has_prefix = len(said) == 3 and said[1].text == ":" and said[2].kind == "word"
    return f"{said[0].text}:{said[2].text}" if has_prefix else said[0].text


def opened(token: Token) -> int:
    """How many brackets that opens; -1 if it closes one."""
    return (token.text in ("{", "[")) - (token.text in ("}", "]"))
