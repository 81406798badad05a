"""What a route's own code answers, looked at where a wrong answer can still be told to be that code's."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable


def one_text(said: object) -> str:
    """A text for clients, if it can be sent as one. Raises TypeError, ValueError."""
    if not isinstance(said, str):
        raise wrong(said, "it answers a str")
    if not said.isascii():
        said.encode()  # half a surrogate pair would fail later, in the middle of a stream
    return said


def several_texts(said: object) -> tuple[str, ...]:
    """Any number of them; a lone one is not taken for its letters. Raises TypeError, ValueError."""
    if isinstance(said, str) or not isinstance(said, Iterable):
        raise wrong(said, "it answers a tuple of str, empty or not")
    return tuple(map(one_text, said))


def wrong(answer: object, expected: str) -> TypeError:
    """To be raised for an answer of another kind; a coroutine is one of a hook that nobody awaits."""
    if isinstance(answer, Coroutine):
        answer.close()
    return TypeError(f"{expected}, not {type(answer).__name__}")
