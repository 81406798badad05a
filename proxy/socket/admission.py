"""May this handshake go on? What costs least is asked first, and a token is verified only after that."""

from __future__ import annotations

from django.conf import settings

from proxy.core.errors import Disabled
from proxy.socket.opening import Opening


async def check(opening: Opening) -> None:
    """What can be refused whoever the client is, and without asking anybody.

    Raises:
        GatewayError: why not.
    """
    scope, node, limits = opening.scope, opening.node, opening.served.caps
    address = scope["client_address"]
    node.admission.check_rate(limits, address)
    await node.rules.ready()
    node.rules.check(user_id="", address=address)
    if scope["refusal"] is not None:
        raise scope["refusal"]
    if not settings.WEBSOCKET_ENABLED:
        raise Disabled("WEBSOCKET_ENABLED is false")
    refusal = node.refusal(len(node.links))  # our server has asked at the door; no other does
    if refusal is not None:
        raise refusal
    node.admission.check_address(limits, address)
