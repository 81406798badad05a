"""An error as a log has it. No I/O."""

from __future__ import annotations

# Behind this Redis repeats what it was told: somebody's message, or a token.
_REPEATS = ", with args beginning with"


def in_words(error: BaseException) -> str:
    """Its type and what it says, of each in a group; redis-py's `repr` leaves out what Redis said."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(in_words(each) for each in error.exceptions)
    said, _, _ = str(error).partition(_REPEATS)
    return f"{type(error).__name__}: {said}".removesuffix(": ")
