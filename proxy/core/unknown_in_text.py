"""What follows something that is not known is hidden: the name of a secret may have stood there."""

from __future__ import annotations

from proxy.core.named_values import VALUE, plain
from proxy.core.text_tokens import UNKNOWN, Name, Token, name_before, opened, tokens_of

HIDDEN = "[hidden: what stands before is not known]"
UNSEEN = "·"
_MOST_UNKNOWN = 8  # signs for a run of what is not known


class _Depth:
    """How many brackets are open since something not known, which may have begun a string, or ended one.

    Both are reckoned with, for each way to write a quote; what is open by either counts.
    """

    def __init__(self, open_before: int) -> None:
        self._open = self._before = open_before
        self._strings: dict[str, _Strings] = {}

    def add(self, token: Token) -> None:
        self._open += opened(token)
        if token.kind == "quote":
            self._strings.setdefault(token.text, _Strings(self._before)).turn(self._open)

    def most(self, quote: str) -> int:
        """What may be open by that quote."""
        strings = self._strings.get(quote)
        return self._open if strings is None else strings.most(self._open)

    def most_of_all(self) -> int:
        """What may be open by any quote."""
        return max(map(self.most, self._strings), default=self._open)


class _Strings:
    """What is open outside of strings, if the first quote begins one, and if it ends one."""

    def __init__(self, before: int) -> None:
        self._open = [before, before]
        self._since, self._turn = before, 0

    def turn(self, total: int) -> None:
        self._open[self._turn] += total - self._since
        self._since, self._turn = total, 1 - self._turn

    def most(self, total: int) -> int:
        now = total - self._since
        return max(self._open[self._turn] + now, self._open[1 - self._turn])


def hide_behind_unknown(text: str) -> str:
    """`text` without what follows something that is not known, up to the next name that is, and that stands
    no deeper: it may belong to the name of a secret."""
    tokens = tokens_of(text)
    clean, position = "", 0
    depth: _Depth | None = None
    for place, token in enumerate(tokens):
        if UNKNOWN in token.text:
            if depth is None:
                run = text.index(UNKNOWN, token.start)
                clean, position = clean + text[position:run], _behind_run(text, run)
                clean += UNSEEN * min(_MOST_UNKNOWN, position - run)
            depth = _Depth(0 if depth is None else max(0, depth.most_of_all()))
        elif depth is not None:
            depth.add(token)
            known = _known_name(tokens, place) if token.text == ":" else None
            if known and known.start >= position and depth.most(known.quote) <= 0:
                clean += HIDDEN if known.start > position else ""
                position, depth = known.start, None
    if depth is None:
        return clean + text[position:]
    return clean + (HIDDEN if position < len(text) else "")


def _behind_run(text: str, start: int) -> int:
    while text[start : start + 1] == UNKNOWN:
        start += 1
    return start


def _known_name(tokens: list[Token], place: int) -> Name | None:
    """The name in quotes before the sign there, if it is known to its end and may begin what is another's."""
    name = name_before(tokens, place)
    if name is None or not name.quote or UNKNOWN in name.text:
        return None
    return None if plain(name.text) in VALUE else name
