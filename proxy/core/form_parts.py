"""Parts of multipart/form-data: a name in the headers, then a value on lines of its own."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from proxy.core.text_tokens import Token, Tokens, behind_blank, string_at

# How far from `name=` is looked: back to `form-data` and the boundary before it, on to the headers' end.
_MOST_BACK = 32
_MOST_HEADERS = 48


class Part(NamedTuple):
    """`first`: the token behind its name. `boundary`: what ends it; "" if it is not known."""

    name: str
    first: int
    boundary: str


class Parts:
    """Those of one text."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        words = [place for place, token in enumerate(tokens) if token.kind == "word"]
        self._dispositions = [place for place in words if tokens[place].text.lower() == "form-data"]
        self._boundaries = [place for place in words if self._dispositions and _at_line_begin(tokens, place)]

    def before(self, place: int) -> Part | None:
        """The part whose `name` stands before the sign there; None if it is of no form."""
        disposition = _last(self._dispositions, place)
        if disposition is None:
            return None
        at = _last(self._boundaries, disposition)
        boundary = "" if at is None else _at_line_begin(self._tokens, at)
        name, first = string_at(self._tokens, behind_blank(self._tokens, place + 1))
        return Part(name, first, boundary)


def _last(places: list[int], before: int) -> int | None:
    """The last of those places, unless that is far from there."""
    at = bisect_left(places, before)
    return places[at - 1] if at and before - places[at - 1] < _MOST_BACK else None


def part_value(tokens: Tokens, part: Part) -> tuple[int, int]:
    """Its value: from which token, before which one. All of the part where its headers do not seem to end."""
    end = part.first
    while end < len(tokens) and not (part.boundary and _is_boundary(tokens, end, part.boundary)):
        end += 1
    if end < len(tokens):
        end -= 1  # the end of the line is of the boundary
    headers = range(part.first, min(end, part.first + _MOST_HEADERS))
    blank = next((at for at in headers if _is_blank_line(tokens[at])), None)
    return part.first if blank is None else blank + 1, end


def _at_line_begin(tokens: Tokens, place: int) -> str:
    """The word that begins a line there with two dashes, as a boundary does; else ""."""
    token, before = tokens[place], tokens[place - 1] if place else None
    if token.kind != "word":
        return ""
    text = token.text[1:] if before and before.kind == "escape" and token.text[0] in "nr" else token.text
    is_first = text is not token.text or before is None or before.kind in ("line", "quote")
    return text if is_first and text.startswith("--") else ""


def _is_boundary(tokens: Tokens, place: int, boundary: str) -> bool:
    return place > 0 and tokens[place].kind == "word" and _at_line_begin(tokens, place).startswith(boundary)


def _is_blank_line(token: Token) -> bool:
    return token.kind == "line" and (token.text.count("\n") > 1 or token.text.count("\r") > 1)
