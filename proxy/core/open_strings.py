"""Which strings are open at a place of a text that is gone through once."""

from __future__ import annotations

from proxy.core.text_tokens import Tokens, is_blank_letter


class OpenStrings:
    """Those that began before and have not ended, the outermost first. In doubt, one has ended."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens, self._quotes = tokens, list[str]()

    def read(self, place: int) -> None:
        """Whoever goes through a text reads each token, or none of a value in quotes or in brackets."""
        token = self._tokens[place]
        if token.kind == "quote":
            self._quote(place, token.text)
        elif token.kind in ("line", "hidden"):
            self._quotes.clear()
        elif token.kind == "escape" and self._quotes and begins_line(self._tokens, place):
            # No string goes on in the next line: an escaped one ends those that stand in others.
            slashes = len(token.text)
            self._quotes = [quote for quote in self._quotes if quote.count("\\") < slashes]

    def _quote(self, place: int, quote: str) -> None:
        if quote in self._quotes:
            del self._quotes[self._quotes.index(quote) :]
        elif not place or self._tokens[place - 1].kind != "word" or is_blank_letter(self._tokens, place - 1):
            self._quotes.append(quote)

    def has(self, quote: str) -> bool:
        return quote in self._quotes

    def is_line(self, place: int) -> bool:
        """Whether these backslashes begin a line, as those are written in the innermost string."""
        innermost = self._quotes[-1].count("\\") if self._quotes else 0
        return len(self._tokens[place].text) == innermost + 1 and begins_line(self._tokens, place)


def begins_line(tokens: Tokens, place: int) -> bool:
    """Whether these backslashes are the first half of a line that is escaped."""
    return place + 1 < len(tokens) and tokens[place + 1].text[:1] in ("n", "r")


def behind_fold(tokens: Tokens, place: int) -> int:
    """Behind the end of a line there, escaped or not, if the next one is indented; else there."""
    behind, lines = place, 0
    while behind < len(tokens) and (tokens[behind].kind == "line" or is_blank_letter(tokens, behind + 1)):
        is_escaped = tokens[behind].kind == "escape"
        lines += tokens[behind + is_escaped].text.count("n" if is_escaped else "\n")
        behind += 1 + is_escaped
    is_indented = behind < len(tokens) and tokens[behind].kind == "space"
    return behind + 1 if is_indented and lines == 1 else place
