"""What can go wrong: one tree, a class for each who has to do something about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluicegate_client.answers import Delivered


class SluicegateError(Exception):
    """A call that failed. str() says what happened and what to do; the API key stands nowhere.

    Attributes:
        status: what HTTP answered; None where nobody did.
        code: the gateway's own word for it, as docs/publishing.md lists them; None where it said none.
        retry_after_seconds: how long the gateway asked to wait; None where it did not.
        may_have_happened: whether the gateway may have done what it was asked, in whole or in part.
        delivered: of `publish_many`, the answers for the first publications, which surely went out.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after_seconds: float | None = None,
        may_have_happened: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.retry_after_seconds = retry_after_seconds
        self.may_have_happened = may_have_happened
        self.delivered: tuple[Delivered, ...] = ()


class BadRequest(SluicegateError, ValueError):
    """The calling code's to fix: what it asks cannot be. It would fail again."""


class KeyRefused(SluicegateError):
    """Whoever keeps the API key has to change it: it is none, or has been revoked."""


class NotAllowed(SluicegateError):
    """Whoever runs the gateway decides: the API key is good, and may not do this."""


class GatewayAway(SluicegateError):
    """Nobody's here: the gateway, or what it needs, was away or busy until time was up. Repeat it later."""

    def __str__(self) -> str:
        done = "It may have been done all the same." if self.may_have_happened else "Nothing was done."
        return f"{super().__str__()} {done} Repeat it later."


class UnexpectedAnswer(SluicegateError):
    """Whoever configured the address, or runs the gateway, has to look: what answered is no gateway that this
    package knows, or one that failed."""
