"""Passwords in addresses: `scheme://user:password@host`, percent-encoded or with slashes escaped, too.

What is looked through for one address is not looked through for another: no client can write what takes long.
"""

from __future__ import annotations

import re

from proxy.core.redaction import REDACTED

# A password may have `@` in it, as people forget to encode that one; no other sign that ends a host. Where
# the text is cut behind the colon, digits may be a port.
_SIGN = r"""[^\s/?#"'<>]"""
_ADDRESS = re.compile(rf"""(:(?:\\*+/){{2}}[^\s/?#:@"'<>]*+:)(?:({_SIGN}*)(@)|((?:(?!@){_SIGN})*+)\Z)""")
_COLON, _SLASH, _AT = (rf"%(?:25){{0,3}}{code}" for code in ("3A", "2F", "40"))
_CODED_SIGN = rf"""(?:(?!{_SLASH})[^\s/?#&;"'<>])"""
_CODED = re.compile(
    rf"({_COLON}(?:{_SLASH}){{2}}(?:(?!{_COLON}|{_AT}){_CODED_SIGN})*+{_COLON})"
    rf"(?:({_CODED_SIGN}*)({_AT})|((?:(?!{_AT}){_CODED_SIGN})*+)\Z)",
    re.IGNORECASE,
)
_MOST_PORT_CHARS = 5


def without_passwords(text: str, *, is_whole: bool) -> str:
    """`text` with "[redacted]" in place of each; where that is cut, one may have been cut in two."""

    def clean(found: re.Match[str]) -> str:
        before, password, behind, rest = found.groups()
        if password or (rest and not is_whole and not _is_port(rest)):
            return f"{before}{REDACTED}{behind or ''}"
        return found[0]

    text = _ADDRESS.sub(clean, text)
    return _CODED.sub(clean, text) if "%" in text else text


def first_password(text: str) -> int:
    """Where the first one begins; the size of the text if there is none."""
    starts = (found.start(2) for each in (_ADDRESS, _CODED) for found in each.finditer(text) if found[2])
    return min(starts, default=len(text))


def _is_port(text: str) -> bool:
    return len(text) <= _MOST_PORT_CHARS and text.isdigit()
