"""Lines of a CSV file that a spreadsheet shows as text, whatever is in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

# What a cell must not begin with: Excel, LibreOffice and Sheets take it for a formula, also behind blanks
# (OWASP, CSV Injection).
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_line(cells: Iterable[str]) -> str:
    """One line (RFC 4180), every cell in quotation marks; what could be a formula has an apostrophe first."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(map(_as_text, cells))
    return line.getvalue()


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULAS) or cell.lstrip().startswith(_FORMULAS) else cell
