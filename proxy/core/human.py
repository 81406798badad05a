"""Sizes, numbers, durations and foreign text as people read them: for a table's cell or a log line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_SIZES = ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))
_DURATIONS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))


def size(size_bytes: int) -> str:
    """`0 B`, `532 B`, `1.4 KB`, `23 MB`: at most three digits, by powers of 1,024."""
    for unit_bytes, unit in _SIZES:
        if size_bytes >= unit_bytes:
            amount = size_bytes / unit_bytes
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{size_bytes} B"


def counted(number: int, thing: str) -> str:
    """`1 link`, `2 links`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


JOINER = "\N{ZERO WIDTH JOINER}"
# What may stand between an emoji and its joiner: that it is drawn as an emoji, and a colour of skin.
_DRAWN_AS = "\N{VARIATION SELECTOR-16}\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
_VIRAMA = 9


def is_printable(text: str) -> bool:
    """Whether all of `text` can be seen. A joiner may be where it joins: emoji, or behind a virama."""
    if text.isprintable():
        return True
    return all(is_seen for _, is_seen in letters(text))


def letters(text: str) -> Iterator[tuple[str, bool]]:
    """Each letter of `text`, and whether it can be seen, as `is_printable` has it."""
    before = drawn = " "
    for at, letter in enumerate(text):
        if letter == JOINER:
            behind = text[at + 1 : at + 2] or " "
            is_emoji = unicodedata.category(drawn) == unicodedata.category(behind) == "So"
            yield letter, is_emoji or unicodedata.combining(before) == _VIRAMA
        else:
            yield letter, letter.isprintable()
        before, drawn = letter, drawn if letter in _DRAWN_AS else letter


def one_line(text: str, most_chars: int = 200) -> str:
    """`text` as it may stand in a log line or on a page: nothing that moves the cursor, and not endless."""
    clipped = text[:most_chars]
    if clipped.isprintable():
        return clipped
    seen = (letter if is_seen else "\N{REPLACEMENT CHARACTER}" for letter, is_seen in letters(clipped))
    return "".join(seen)


def duration(duration_seconds: float) -> str:
    """`0s`, `42s`, `3m 07s`, `2h 05m`, `9d 04h`: two units at most, never negative."""
    whole = max(0, int(duration_seconds))
    for unit_seconds, unit, smaller_seconds, smaller in _DURATIONS:
        if whole >= unit_seconds:
            rest = whole % unit_seconds // smaller_seconds
            return f"{whole // unit_seconds}{unit} {rest:02d}{smaller}"
    return f"{whole}s"


def milliseconds(seconds: float) -> str:
    """`0.4 ms`, `12 ms`."""
    amount = seconds * 1000
    return f"{amount:.1f} ms" if amount < 10 else f"{amount:,.0f} ms"


def rate(a_second: float) -> str:
    """How many a second: `0/s`, `0.04/s`, `3.1/s`, `1,200/s`."""
    digits = 0 if a_second >= 10 else 1 if a_second >= 1 else 2
    return f"{a_second:,.{digits}f}/s" if a_second else "0/s"


# What turns the direction of the text around it, or shows as nothing at all. Joiners stay: emoji need them.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def visible(text: str) -> str:
    """`text` with what cannot be seen written out, as in `⟨U+202E⟩`: no id passes for another one."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
