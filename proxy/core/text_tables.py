"""Tables for a terminal: aligned, clipped, and with nothing in them that a terminal would obey.

What clients chose (ids, user agents, paths, reasons) may hold escape sequences, lines' ends, letters that
turn the direction, or a thousand characters. None of that gets past here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from unicodedata import combining, east_asian_width

from proxy.core.human import JOINER, letters

MOST_COLUMNS = 48
# What is not of clients is shown whole; this is for what went wrong.
WHOLE_COLUMNS = 1_000
_CUT = "…"
_GAP = "  "


def plain(text: str, most_columns: int = MOST_COLUMNS) -> str:
    """`text` in one line of at most so many columns; what does not print is written out, as in `⟨U+001B⟩`,
    and so is a joiner that joins nothing.

    As a JSON document has it whole, whoever wants every letter asks for that.
    """
    parts, used = list[str](), 0
    for character, is_seen in letters(text):
        shown = character if is_seen else f"⟨U+{ord(character):04X}⟩"
        used += columns(shown)
        # Marks take no room, and may come by the thousand.
        if used > most_columns or len(parts) > 2 * most_columns:
            return _clipped(parts, most_columns)
        parts.append(shown)
    return "".join(parts)


def _clipped(parts: list[str], most_columns: int) -> str:
    while parts and (columns("".join(parts)) >= most_columns or parts[-1] == JOINER):
        parts.pop()
    return "".join(parts) + _CUT


def columns(text: str) -> int:
    """How wide a terminal shows it: wide letters and most emoji take two columns, marks and joiners none."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if combining(character) or character == JOINER:
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    most_columns: int = MOST_COLUMNS,
    whole: Collection[str] = (),
) -> Iterator[str]:
    """Lines: the headings, then the rows; a column is as wide as its widest cell. Empty cells show as `-`.

    The columns `whole` are not clipped.
    """
    bounds = [WHOLE_COLUMNS if heading in whole else most_columns for heading in headings]
    shown = [
        [plain(cell, bound) or "-" for cell, bound in zip(row, bounds, strict=True)]
        for row in [headings, *rows]
    ]
    widths = [max(map(columns, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield _GAP.join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))


def facts(named: Iterable[tuple[str, str]], *, most_columns: int = 200) -> Iterator[str]:
    """Lines of names and what is so, one below the other."""
    pairs = [(name, plain(said, most_columns) or "-") for name, said in named]
    width = max((columns(name) for name, _ in pairs), default=0)
    yield from (f"{_padded(name, width)}{_GAP}{said}" for name, said in pairs)
