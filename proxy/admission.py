"""May this link start?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings

from proxy.core.errors import Disabled, Draining, Overloaded

if TYPE_CHECKING:
    from proxy.runtime import Runtime


def admit(scope: Mapping[str, Any], runtime: Runtime) -> None:
    """Return if the handshake may go on to the dial.

    Raises:
        GatewayError: why not; first what the middleware found, then this node's own state.
    """
    if scope["refusal"] is not None:
        raise scope["refusal"]
    if not settings.WEBSOCKET_ENABLED:
        raise Disabled("WEBSOCKET_ENABLED is false")
    if runtime.draining:
        raise Draining("this node drains")
    if len(runtime.links) >= settings.MAX_CONNECTIONS:
        raise Overloaded("MAX_CONNECTIONS reached")
