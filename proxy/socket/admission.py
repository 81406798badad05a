"""May this handshake go on to the dial?"""

from __future__ import annotations

from django.conf import settings

from proxy.core.errors import Disabled
from proxy.socket.opening import Opening


async def check(opening: Opening) -> None:
    """What can be refused without asking anybody, what costs least first.

    Raises:
        GatewayError: why not.
    """
    scope, node = opening.scope, opening.node
    address, principal = scope["client_address"], scope["principal"]
    node.admission.check_rate(opening.route.connection_limits, address)
    await node.rules.ready()
    node.rules.check(user_id=principal.user_id if principal else "", address=address)
    if scope["refusal"] is not None:
        raise scope["refusal"]
    if not settings.WEBSOCKET_ENABLED:
        raise Disabled("WEBSOCKET_ENABLED is false")
    refusal = node.refusal(len(node.links))  # our server has asked at the door; no other does
    if refusal is not None:
        raise refusal
