"""Secrets taken out of messages that staff look at, by the names that stand beside them.

Text is looked through as JSON, as JSON in a string, as a query, as header lines, as XML, as a form and as a
command, whatever it is, however it is cut, and where its beginning is not known. What is in doubt is out.
A text is gone through a few times, from the front to the back: no client can write one that takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from proxy.core.named_values import NamedValues, Span, may_be_in, plain
from proxy.core.redaction import REDACTED, redacted, without_tokens
from proxy.core.secrets_in_addresses import first_password, without_passwords
from proxy.core.text_tokens import UNKNOWN, Token, Tokens, tokens_of
from proxy.core.unknown_in_text import HIDDEN, hide_behind_unknown
from proxy.core.values_beside import ValuesBeside

__all__ = ["HIDDEN", "UNKNOWN", "Secrets"]

_SCHEME = re.compile(r"\b(?:Bearer|Basic|Digest)[ \t]{1,8}[\w.~+/=-]{6,}", re.IGNORECASE)
_ESCAPED = re.compile(r"(?<!\\)\\+u([0-9a-fA-F]{4})")


_CODED_LETTER = re.compile(r"%(?:25){0,3}(2[DEde]|3\d|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9Aa])")
_CODED_WORD = re.compile(rf"(?<![\w.-])[\w.-]*+(?:{_CODED_LETTER.pattern}[\w.-]*+)++")
# A name as short as these stands in words that have nothing to do with it, as `otp` in footprint.
_SHORT_CHARS = 3
_BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NEW_WORD = r"(?-i:(?:(?<=[a-z])|(?<=[a-z]\0))(?=[A-Z]))"
_BEGIN = rf"(?:(?<![A-Za-z])(?<![A-Za-z]\0)|{_NEW_WORD})"
_END = rf"(?:(?!\0?[A-Za-z])|{_NEW_WORD})"


class Secrets:
    """What is taken out: values whose name has one of `names` in it, whatever its case and its dashes.

    One of up to three letters counts where a word of the name begins or ends with it.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(filter(None, map(plain, names)))
        self._long = tuple(name for name in self._names if len(name) > _SHORT_CHARS)
        self._short = tuple(name for name in self._names if len(name) <= _SHORT_CHARS)
        self._anywhere = re.compile("|".join(map(_spread, self._names)) or r"(?!)", re.IGNORECASE)

    def without(self, text: str, *, is_whole: bool = True) -> str:
        """`text` with "[redacted]" in place of each secret, and without what may be one.

        Not `is_whole`: there was more of it.
        """
        if "%" in text:
            text = _CODED_WORD.sub(self._readable, text)
        text = without_passwords(text, is_whole=is_whole)
        if UNKNOWN in text or self._may_be_in(text):
            return self._without_values(text, is_whole=is_whole)
        return _without_tokens(text)

    def _without_values(self, text: str, *, is_whole: bool) -> str:
        tokens = tokens_of(text)
        is_whole = is_whole and not (tokens and tokens[-1].kind == "hidden")
        tokens = hide_behind_unknown(tokens, is_whole=is_whole)
        is_secret = cache(self.is_secret)  # of this text: it may ask for one name many times
        beside = ValuesBeside(tokens, is_secret=is_secret, is_name=self._is_name, is_whole=is_whole)
        spans = [(place, place + 1) for place, token in enumerate(tokens) if token.kind == "hidden"]
        spans += beside.spans()
        if may_be_in(text):
            spans += NamedValues(tokens, cache(self._names_secret)).spans()
        return "".join(_pieces(text, tokens, sorted(spans)))

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
        if any(each in known for each in self._long):
            return True
        if not any(each in known for each in self._short):
            return False
        words = [plain(word) for word in _BETWEEN_WORDS.split(name)]
        return any(word.startswith(self._short) or word.endswith(self._short) for word in words)

    def _readable(self, word: re.Match[str]) -> str:
        """A word with letters percent-encoded, decoded if it has the name of a secret or a token in it."""
        said = _CODED_LETTER.sub(lambda found: chr(int(found[1], 16)), word[0])
        return said if self.is_secret(said) or without_tokens(said) != said else word[0]

    def _is_name(self, text: str) -> bool:
        """Whether that is the name of a secret, and nothing else."""
        return plain(text) in self._names

    def _names_secret(self, said: str, is_name: bool) -> bool:
        return self.is_secret(said) if is_name or said.startswith("-") else self._is_name(said)

    def _may_be_in(self, text: str) -> bool:
        """Whether any name may be in it: to look through a whole text takes many times as long."""
        if _ESCAPED.search(text):
            return True
        letters = plain(text)
        return any(name in letters for name in self._names)


def _spread(name: str) -> str:
    """An expression for a name in binary data, its letters in one byte or two."""
    if len(name) > _SHORT_CHARS:
        return r"[\W_]?".join(map(re.escape, name))
    letters = r"\0?".join(map(re.escape, name))
    return f"{_BEGIN}{letters}|{letters}{_END}"


def _without_tokens(text: str) -> str:
    return without_tokens(_SCHEME.sub(REDACTED, text)) if len(text) > len("token=") else text


def _pieces(text: str, tokens: Tokens, spans: list[Span]) -> Iterator[str]:
    """`text` without what those tokens say; spans are in order, and may overlap."""
    kept = behind = 0
    for first, end in spans:
        if end <= behind or end <= first:
            continue
        if first >= behind:
            yield _without_tokens(text[kept : tokens[first].start])
            yield _replaced(text, tokens[first], tokens[end - 1])
        kept, behind = tokens[end - 1].end, end
    yield _without_tokens(text[kept:])


def _replaced(text: str, first: Token, last: Token) -> str:
    """What stands for a value, in the quotes that it had."""
    if first is last and first.kind == "hidden":
        return first.text
    if first.kind != "quote" or text[first.start : last.end] == REDACTED:
        return REDACTED
    is_closed = last is not first and last.text == first.text
    return f"{first.text}{REDACTED}{last.text if is_closed else ''}"
