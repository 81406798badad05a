"""Parts of multipart/form-data: a name in the headers, then a value on lines of its own."""

from __future__ import annotations

from typing import NamedTuple

from proxy.core.text_tokens import Token, behind_blank

# How far from `name=` is looked: back to `form-data` and the boundary before it, on to the headers' end.
_MOST_BACK = 32
_MOST_HEADERS = 48
_MOST_NAME = 16


class Part(NamedTuple):
    """`first`: the token behind its name. `boundary`: what ends it; "" if it is not known."""

    name: str
    first: int
    boundary: str


def part_before(tokens: list[Token], place: int) -> Part | None:
    """The part whose `name` stands before the sign there; None if it is of no form."""
    back = range(place - 1, max(-1, place - _MOST_BACK), -1)
    disposition = next((at for at in back if tokens[at].text.lower() == "form-data"), None)
    if disposition is None:
        return None
    back = range(disposition - 1, max(-1, disposition - _MOST_BACK), -1)
    boundary = next(filter(None, (_at_line_begin(tokens, at) for at in back)), "")
    name, first = _name_behind(tokens, behind_blank(tokens, place + 1))
    return Part(name, first, boundary)


def part_value(tokens: list[Token], part: Part) -> tuple[int, int]:
    """Its value: from which token, before which one. All of the part where its headers do not seem to end."""
    end = part.first
    while end < len(tokens) and not (part.boundary and _is_boundary(tokens, end, part.boundary)):
        end += 1
    if end < len(tokens):
        end -= 1  # the end of the line is of the boundary
    headers = range(part.first, min(end, part.first + _MOST_HEADERS))
    blank = next((at for at in headers if _is_blank_line(tokens[at])), None)
    return part.first if blank is None else blank + 1, end


def _at_line_begin(tokens: list[Token], place: int) -> str:
    """The word that begins a line there with two dashes, as a boundary does; else ""."""
    token, before = tokens[place], tokens[place - 1] if place else None
    if token.kind != "word":
        return ""
    text = token.text[1:] if before and before.kind == "escape" and token.text[0] in "nr" else token.text
    is_first = text is not token.text or before is None or before.kind in ("line", "quote")
    return text if is_first and text.startswith("--") else ""


def _is_boundary(tokens: list[Token], place: int, boundary: str) -> bool:
    return place > 0 and tokens[place].kind == "word" and _at_line_begin(tokens, place).startswith(boundary)


def _is_blank_line(token: Token) -> bool:
    return token.kind == "line" and (token.text.count("\n") > 1 or token.text.count("\r") > 1)


def _name_behind(tokens: list[Token], place: int) -> tuple[str, int]:
    """The name there, in quotes or not, and the token behind it."""
    said = tokens[place : place + _MOST_NAME]
    if not said or said[0].kind != "quote":
        return (said[0].text, place + 1) if said else ("", place)
    ends = (at for at, token in enumerate(said[1:], 1) if token.text == said[0].text)
    end = next(ends, len(said))
    return "".join(each.text for each in said[1:end]), min(place + end + 1, len(tokens))
