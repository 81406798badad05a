"""What follows something that is not known is hidden: the name of a secret may have stood there."""

from __future__ import annotations

from proxy.core.named_values import VALUE, plain
from proxy.core.text_tokens import Name, Token, Tokens, name_before, opened

HIDDEN = "[hidden: what stands before is not known]"
UNSEEN = "·"
_MOST_UNKNOWN = 8  # signs for a run of what is not known
_BEFORE_NAMES = frozenset({"{", ","})


def hide_behind_unknown(tokens: Tokens, *, is_whole: bool) -> Tokens:
    """Those tokens, with one that is hidden in place of the first that is not known and of what follows it.

    Of a text that is whole, the end is shown from the first key on that is known, with nothing unknown behind
    it, and that is one of the outermost object's: any other object may be the value of a secret.
    """
    unknown = [place for place, token in enumerate(tokens) if token.kind == "unknown"]
    if not unknown:
        return tokens
    first, shown = unknown[0], _first_key(tokens, unknown[-1]) if is_whole else len(tokens)
    return Tokens([*tokens[:first], _hidden(tokens, first, shown), *tokens[shown:]])


def _outer_quote(tokens: Tokens) -> str:
    """The one that strings are in which stand in no other: of the shortest that is, the double one."""
    quotes = {tokens[place].text for place in tokens.twins}
    return min(quotes, key=lambda quote: (len(quote), quote != '"'), default="")


def _first_key(tokens: Tokens, behind: int) -> int:
    """The place of the first one of the outermost object behind there, as what ends behind it tells;
    of the end if there is none."""
    found, depth, in_string = len(tokens), 0, False
    quote = _outer_quote(tokens)
    for place in range(len(tokens) - 1, behind, -1):
        token = tokens[place]
        in_string ^= token.text == quote
        if in_string:
            continue
        depth = max(0, depth - opened(token))
        if token.text == ":" and depth == 1:
            name = name_before(tokens, place)
            if name and name.first > behind and name.quote == quote and _may_begin(tokens, name):
                found = name.first
    return found


def _may_begin(tokens: Tokens, name: Name) -> bool:
    """Whether that stands where keys do, and does not say that what follows is the value of another."""
    before = name.first - 1
    while before >= 0 and tokens[before].kind in ("space", "line"):
        before -= 1
    return before >= 0 and tokens[before].text in _BEFORE_NAMES and plain(name.text) not in VALUE


def _hidden(tokens: Tokens, first: int, end: int) -> Token:
    run = UNSEEN * min(_MOST_UNKNOWN, len(tokens[first].text))
    return Token("hidden", run + HIDDEN * (end > first + 1), tokens[first].start, tokens[end - 1].end)
