"""Tokens taken out of text that is logged, recorded or said back, wherever a client put them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from proxy.core.human import one_line

REDACTED = "[redacted]"
# However often it is percent-encoded: beyond, no reader would decode it either.
_DECODINGS = 3
# What a signature of 32 bytes has, the shortest there is, less a few that a clipping may have taken.
_SIGNATURE_CHARS = 40
_NAMED = re.compile(r"(?:(?<=token=)|(?<=ticket=))[^&\s\"']+", re.IGNORECASE)
_PART_CHARS, _LEAST_CHARS = 8, 4  # of a secret
_SHORT_CHARS = 256  # of a text, as most that is said of a refusal
# Whole runs, looked at one by one: an expression for a token would look from each of its characters on.
_RUNS = re.compile(r"[\w.-]{8,}", re.ASCII)


def redacted(text: str) -> str:
    """`text` without what looks like a JWT, or the last parts of one, or follows `token=` or `ticket=`.

    Percent-encoded text is looked at as it decodes, and answered decoded, on one line, if a token was in it.
    """
    decoded = text
    for _ in range(_DECODINGS):
        if "%" not in decoded:
            break
        decoded = unquote(decoded)
    clean = without_tokens(decoded)
    if clean == decoded:
        return text
    return clean if decoded == text else one_line(clean, len(clean))


def without_tokens(text: str) -> str:
    """As above, of text that is not percent-encoded: all else stays as it is written."""
    return _RUNS.sub(_without_token, _NAMED.sub(REDACTED, text))


def without(text: str, secret: str) -> str:
    """`text` without what stands in it of `secret`, quoted or percent-encoded, too: any 8 characters of it.

    Whoever quotes a secret may cut it. One of less than 4 characters is none.
    """
    size = min(_PART_CHARS, len(secret))
    if size < _LEAST_CHARS:
        return text
    forms = "\0".join(_forms(secret, text))
    # A set is dear to make: a long secret is looked through as it is for each of a few parts of a text.
    parts: str | set[str] = (
        forms if len(text) < _SHORT_CHARS else {forms[at : at + size] for at in range(len(forms))}
    )
    clean, end = "", 0  # of the last part
    for start in range(len(text) - size + 1):
        if text[start : start + size] in parts:
            if start > end or not end:
                clean += text[end:start] + REDACTED
            end = start + size
    return clean + text[end:]


def _forms(secret: str, text: str) -> Iterator[str]:
    """How `text` may say `secret`; what is quoted or encoded differs where it has the signs of that."""
    yield secret
    if "\\" in text:
        yield repr(secret)[1:-1]
    if "%" in text:
        yield quote(secret, safe="")


def _without_token(run: re.Match[str]) -> str:
    head, *parts = run[0].split(".")
    if len(parts) >= 2 and any("eyJ" in part for part in (head, *parts[:-2])):
        return run[0].partition("eyJ")[0] + REDACTED
    return REDACTED if any(map(_is_signature, parts)) else run[0]


def _is_signature(part: str) -> bool:
    """Or a payload: long, and of both cases, as nothing that is named by people."""
    return len(part) >= _SIGNATURE_CHARS and part != part.lower() and part != part.upper()
