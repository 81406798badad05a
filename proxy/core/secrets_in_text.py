"""Secrets taken out of messages that staff look at, by the names that stand beside them.

Text is looked through as JSON, as JSON in a string, as a query, as header lines, as XML, as a form and as a
command, whatever it is, however it is cut, and where its beginning is not known. What is in doubt is out.
A text is gone through a few times, from the front to the back: no client can write one that takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from proxy.core.named_values import NamedValues, Span, may_be_in, plain
from proxy.core.redaction import REDACTED, redacted
from proxy.core.secrets_in_addresses import first_password, without_passwords
from proxy.core.text_tokens import UNKNOWN, Token, tokens_of
from proxy.core.unknown_in_text import HIDDEN, UNSEEN, hide_behind_unknown
from proxy.core.values_beside import ValuesBeside

__all__ = ["HIDDEN", "UNKNOWN", "Secrets"]

_SCHEME = re.compile(r"\b(?:Bearer|Basic|Digest)[ \t]{1,8}[\w.~+/=-]{6,}", re.IGNORECASE)
_ESCAPED = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")
_SEPARATORS: dict[int, None] = {code: None for code in range(128) if not chr(code).isalnum()}


class Secrets:
    """What is taken out: values whose name has one of `names` in it, whatever its case and its dashes."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(filter(None, map(plain, names)))
        spread = "|".join(r"[\W_]?".join(map(re.escape, name)) for name in self._names)
        self._anywhere = re.compile(spread or r"(?!)", re.IGNORECASE)

    def without(self, text: str, *, is_whole: bool = True) -> str:
        """`text` with "[redacted]" in place of each secret, and without what may be one.

        Not `is_whole`: there was more of it.
        """
        clean = without_passwords(_SCHEME.sub(REDACTED, redacted(text)), is_whole=is_whole)
        is_unknown = UNKNOWN in clean
        if is_unknown:
            clean = hide_behind_unknown(clean)
        if not (is_unknown or self._may_be_in(clean)):
            return clean
        tokens = tokens_of(clean)
        beside = ValuesBeside(tokens, is_secret=self.is_secret, is_name=self._is_name, is_whole=is_whole)
        spans = list(beside.spans())
        if may_be_in(clean):
            spans += NamedValues(tokens, self._names_secret, unknown=UNSEEN if is_unknown else "").spans()
        return "".join(_pieces(clean, tokens, sorted(spans)))

    def first_in(self, data: bytes) -> int:
        """Where in binary data the first name of a secret ends, or a token begins; its size if none does."""
        text = data.decode("latin-1")
        named = self._anywhere.search(text)
        end = min(len(data) if named is None else named.end(), first_password(text))
        clean = redacted(text)
        if clean == text:
            return end
        pairs = zip(text, clean, strict=False)
        return min(end, next((at for at, (one, other) in enumerate(pairs) if one != other), len(clean)))

    def is_secret(self, name: str) -> bool:
        """Whether that names a secret."""
        if "\\" in name:
            name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
        known = plain(name)
        return any(each in known for each in self._names)

    def _is_name(self, text: str) -> bool:
        """Whether that is the name of a secret, and nothing else."""
        return plain(text) in self._names

    def _names_secret(self, said: str, is_name: bool) -> bool:
        return self.is_secret(said) if is_name else self._is_name(said)

    def _may_be_in(self, text: str) -> bool:
        """Whether any name may be in it: to look through a whole text takes many times as long."""
        if _ESCAPED.search(text):
            return True
        letters = text.lower().translate(_SEPARATORS) if text.isascii() else plain(text)
        return any(name in letters for name in self._names)


def _pieces(text: str, tokens: list[Token], spans: list[Span]) -> Iterator[str]:
    """`text` without what those tokens say; spans are in order, and may overlap."""
    kept = behind = 0
    for first, end in spans:
        if end <= behind or end <= first:
            continue
        if first >= behind:
            yield text[kept : tokens[first].start] + _replaced(text, tokens[first], tokens[end - 1])
        kept, behind = tokens[end - 1].end, end
    yield text[kept:]


def _replaced(text: str, first: Token, last: Token) -> str:
    """What stands for a value, in the quotes that it had."""
    if text[first.start : last.end] == REDACTED:
        return REDACTED
    if first.kind != "quote":
        return REDACTED
    return (
        f"{first.text}{REDACTED}{last.text if last.start > first.start and last.text == first.text else ''}"
    )
