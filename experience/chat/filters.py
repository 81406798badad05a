"""What a text may say: the hook of a route, and the filter that masks a list of words. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from experience.chat.messages import MessageSend

# Answers the text that goes on in place of `message.text`, that one or another; or raises ContentRefused. The
# second argument is the user id of the sender. It is called on the event loop: no database, no waiting.
ContentFilter = Callable[[MessageSend, str], str]


class ContentRefused(Exception):
    """The message goes no further; str() is told to its sender."""


# Shown as nothing, and so put between the letters of words that are looked for.
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_WORD = re.compile("[\\w\u00ad\u200b-\u200d\u2060\ufeff]+")


def mask_words(words: Iterable[str]) -> ContentFilter:
    """A filter that puts asterisks in place of these, as whole words, in whatever case and width of letters.

    Raises ValueError for what is not one word.
    """
    masked = frozenset(map(_checked, words))

    def replace(found: re.Match[str]) -> str:
        return "*" * len(found[0]) if _folded(found[0]) in masked else found[0]

    def mask(message: MessageSend, _: str) -> str:
        text = message.text
        looked_at = text if text.isascii() else unicodedata.normalize("NFC", text)
        shown = _WORD.sub(replace, looked_at)
        return text if shown == looked_at else shown

    return mask


def _checked(word: str) -> str:
    """One word, in the way that all its spellings have in common. Raises ValueError."""
    if not _WORD.fullmatch(unicodedata.normalize("NFC", word)) or not _folded(word):
        raise ValueError(f"it is not one word: {word!r}")
    return _folded(word)


def _folded(word: str) -> str:
    """Alike for all ways of writing it."""
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFKC", word.translate(_UNSEEN)).casefold()
