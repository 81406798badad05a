"""What a path captures of what a client asked for, on its way to a service's URL.

A captured value is a client's word. Put into a URL it stays one segment: it is percent-encoded whole, and
what would lead elsewhere once somebody decodes it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

_CAPTURE = re.compile(r"<(?:([^>:]+):)?([^>]+)>")
_BLANK = re.compile(r"\{([^{}]*)\}")
_SEPARATORS = re.compile(r"[/\\]")
_DOTS = (".", "..")


def captured_by(pattern: str) -> frozenset[str]:
    """The names that a Django path pattern captures."""
    return frozenset(name for _, name in _CAPTURE.findall(pattern))


def shape_of(pattern: str) -> str:
    """The pattern without those names, which make no difference to what it matches."""
    return _CAPTURE.sub(lambda match: f"<{match[1] or 'str'}>", pattern)


def blanks_of(url: str) -> frozenset[str]:
    """The names in `{…}` of a member's URL."""
    return frozenset(_BLANK.findall(url))


def fill(url: str, captures: Mapping[str, str]) -> str:
    """`url` with each `{name}` as what was captured under that name, encoded.

    Raises KeyError for a name that captured nothing, ValueError for what cannot be one segment of a path.
    """
    return _BLANK.sub(lambda match: _segment(captures[match[1]]), url)


def _segment(value: str) -> str:
    """A value that is empty or only dots is no segment, encoded or not (RFC 3986, 5.2.4 and 6.2.2.2)."""
    if not value or not stays_in_place(value):
        raise ValueError("a part of the path is empty, . or ..")
    return quote(value, safe="")


def stays_in_place(decoded_path: str) -> bool:
    """Whether no segment of it would lead a service elsewhere than it says.

    Some read a backslash as a slash, and some take what follows a semicolon off a segment (`..;`).
    """
    return not any(segment.partition(";")[0] in _DOTS for segment in _SEPARATORS.split(decoded_path))
