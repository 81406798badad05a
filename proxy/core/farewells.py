"""What clients are told, in their route's own protocol, before a close that they shall not come back from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.core.answers import several_texts
from proxy.core.closes import Close, ClosedBy, ComeBack
from proxy.core.hook_failures import HookFailed

# Called with the close that follows; answers whole text messages, in order.
Farewell = Callable[[Close], Iterable[str]]


def last_words(
    farewell: Farewell | None, close: Close, by: ClosedBy, *, failed: Callable[[HookFailed], object]
) -> tuple[str, ...]:
    """What a client reads before `close`: nothing, unless the gateway ends its link for good.

    What a service has to say before a close of its own it says itself. Never raises, since what fails here
    must not keep a link open: `failed` hears of it.
    """
    if (
        farewell is None
        or by not in {ClosedBy.GATEWAY, ClosedBy.STAFF}
        or close.comes_back is not ComeBack.NO
    ):
        return ()
    try:
        return several_texts(farewell(close))  # what cannot be sent fails here, not in the middle of an end
    except BaseException as error:  # noqa: BLE001  the route's own code
        failed(HookFailed.because("farewell", error))
        return ()
