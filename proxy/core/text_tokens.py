"""Text taken apart into the signs that tell names from values: of JSON, queries, headers and XML.

No token is looked at more than a few times, whatever the text: who writes it may want it to take long.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# A character that is not known: half of a surrogate, which no text that was decoded has.
UNKNOWN = "\udc00"

_TOKEN = re.compile(
    r"""(?P<quote>(?>\\*)["'])|(?P<escape>\\+)|(?P<word>[\w.\-\udc00]+)|(?P<line>[\r\n]+)|(?P<space>[^\S\r\n]+)"""
    r"""|(?P<mark>[:=,{}\[\]<>&;])|(?P<coded>%(?:25){0,3}(?:2[267Cc]|3[ABDabd]|[57][BDbd]|20|0[9ADad]))|(?P<percent>%)"""
    r"""|(?P<other>[^\\"'\w.\-\udc00\s:=,{}\[\]<>&;%]+)"""
)
# How far back the beginning of a name is looked for; what is longer is looked at in part.
_MOST_BACK = 16
_MOST_COMMENT = 16
_BLANK_LETTERS = frozenset("nrtfb")


class Token(NamedTuple):
    """A sign, or what stands between two.

    `level` is how often it was percent-encoded. The text of such a mark is what it stands for; that of a
    quote is as it was written, for a quote is closed by one that is written alike.
    """

    kind: str
    text: str
    start: int
    end: int
    level: int = 0


class Name(NamedTuple):
    text: str
    start: int
    quote: str  # "" without


def tokens_of(text: str) -> list[Token]:
    return [
        _decoded(each) if each.lastgroup == "coded" else Token(str(each.lastgroup), each[0], *each.span())
        for each in _TOKEN.finditer(text)
    ]


def _decoded(found: re.Match[str]) -> Token:
    sign, level = chr(int(found[0][-2:], 16)), len(found[0]) // 2
    if sign in "\"'":
        return Token("quote", found[0], *found.span(), level)
    kind = "mark" if not sign.isspace() else "space" if sign in " \t" else "line"
    return Token(kind, sign, *found.span(), level)


def name_before(tokens: list[Token], place: int) -> Name | None:
    """The name that ends before the sign there: in quotes, a word, or words in brackets as in forms."""
    last = place - 1
    while last >= 0 and tokens[last].kind == "space":
        last -= 1
    if last >= 0 and tokens[last].kind == "other":  # as in `**token**: `
        last -= 1
    if last >= 0 and tokens[last].kind == "word" and not is_blank_letter(tokens, last):
        return Name(tokens[last].text, tokens[last].start, "")
    if last >= 0 and tokens[last].text == "]":
        return _name_in_brackets(tokens, last)
    while last >= 0 and (tokens[last].kind in ("space", "line", "escape") or is_blank_letter(tokens, last)):
        last -= 1
    return _name_in_quotes(tokens, last) if last >= 0 and tokens[last].kind == "quote" else None


def is_blank_letter(tokens: list[Token], place: int) -> bool:
    """Whether that is the second half of an escaped line or tab."""
    return tokens[place].text in _BLANK_LETTERS and place > 0 and tokens[place - 1].kind == "escape"


def _name_in_brackets(tokens: list[Token], last: int) -> Name:
    first = last
    while first > max(0, last - _MOST_BACK) and _is_of_brackets(tokens[first - 1]):
        first -= 1
    return Name("".join(each.text for each in tokens[first : last + 1]), tokens[first].start, "")


def _is_of_brackets(token: Token) -> bool:
    return token.kind in ("word", "quote") or token.text in ("[", "]")


def _name_in_quotes(tokens: list[Token], last: int) -> Name | None:
    quote, first = tokens[last].text, last - 1
    least = max(0, last - _MOST_BACK)
    while first > least and tokens[first].text != quote:
        first -= 1
    if first < least:
        return None
    return Name("".join(each.text for each in tokens[first:last]), tokens[first].start, quote)


def behind_space(tokens: list[Token], place: int) -> int:
    """Behind the spaces there, and behind the end of a line if the next is indented, as it then goes on."""
    while place < len(tokens):
        kinds = [each.kind for each in tokens[place : place + 2]]
        if kinds[0] != "space" and kinds != ["line", "space"]:
            break
        place += 1
    return place


def behind_blank(tokens: list[Token], place: int) -> int:
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


def _behind_comment(tokens: list[Token], place: int) -> int:
    """Behind the comment that begins there; there if it does not end soon."""
    for end in range(place, min(place + _MOST_COMMENT, len(tokens))):
        if tokens[end].text.endswith("*/"):
            return end + 1
    return place


def element_of(tokens: list[Token], place: int) -> str:
    """The name, with its prefix, of the XML element whose opening tag ends there, or is cut by that sign.

    "" if it is none, or has no text.
    """
    back = place - 1
    if back < 0 or (tokens[back].kind == "other" and tokens[back].text.endswith("/")):  # empty: <name/>
        return ""
    while back >= 0 and tokens[back].text not in ("<", ">"):  # up to the one before: no token is met twice
        back -= 1
    return tag_at(tokens, back + 1) if back >= 0 and tokens[back].text == "<" else ""


def tag_at(tokens: list[Token], place: int) -> str:
    """The name of an XML tag, with its prefix, that begins there; "" if none does."""
    said = tokens[place : place + 3]
    if not said or said[0].kind != "word":
        return ""
    has_prefix = len(said) == 3 and said[1].text == ":" and said[2].kind == "word"
    return f"{said[0].text}:{said[2].text}" if has_prefix else said[0].text


def opened(token: Token) -> int:
    """How many brackets that opens; -1 if it closes one."""
    return (token.text in ("{", "[")) - (token.text in ("}", "]"))
