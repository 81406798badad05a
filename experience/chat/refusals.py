"""Why the chat does not do what was asked over HTTP."""

from __future__ import annotations

from proxy.api import Close, Forbidden, GatewayError, NotFound


class NoSuchConversation(NotFound):
    """Nobody learns of one in which he takes no part."""

    message = "There is no such conversation, or you take no part in it."


class Apart(Forbidden):
    """One of two users has blocked the other; which of them, they know."""

    code = "blocked"
    message = "You have blocked each other, or one of you the other."


class TooMany(GatewayError):
    """A bound that no waiting helps against."""

    status = 409
    code = "too_many"
    close = Close(1008, "too many")

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = f"Too many: {message}."
