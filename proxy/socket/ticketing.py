"""A ticket shown in a handshake, and what becomes of it."""

from __future__ import annotations

from proxy import metrics
from proxy.cluster.questions import LayerAway
from proxy.cluster.tickets import take
from proxy.core.tickets import TicketRefused, TicketsUnavailable
from proxy.socket.opening import Opening


async def token_for(opening: Opening, shown: tuple[str, ...], *, token: str) -> str:
    """The token that the client's ticket stands for; the ticket is used up. `token` is what stands beside it.

    Raises:
        TicketRefused: it is none, or was used, or is not for this.
        TicketsUnavailable: nobody can tell. It may be used up.
    """
    route = opening.route.name
    try:
        if token or len(set(shown)) > 1:
            raise TicketRefused("ticket_conflicting")
        ticket = await take(shown[0])
        if ticket is None:
            raise TicketRefused("ticket_gone")
        ticket.check(route=route, address=opening.scope["client_address"])
    except LayerAway as error:
        raise TicketsUnavailable(str(error)) from None
    except TicketRefused:
        metrics.child(metrics.TICKETS_TOTAL, route, "refused").inc()
        raise
    metrics.child(metrics.TICKETS_TOTAL, route, "used").inc()
    return ticket.token
