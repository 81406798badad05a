"""POST /api/tickets: what opens one socket, once, in place of a token in its URL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy import metrics
from proxy.cluster.questions import LayerAway
from proxy.cluster.tickets import issue_sync
from proxy.core.addresses import parse_address
from proxy.core.routes import Route
from proxy.core.tickets import TICKET_SECONDS, Ticket, TicketsUnavailable
from proxy.registry import routes
from proxy.rest.access import TokenOrStaff
from proxy.rest.api_view import check_no_query
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS, ErrorSerializer
from proxy.rest.user_view import UserApiView
from proxy.socket.diverting import diverted_to
from proxy.tokens import token_verifier

log = logging.getLogger(__name__)

CALLER = "caller"


class TicketWantedSerializer(Body):
    """What the ticket is to open."""

    route = Text(max_length=255, help_text="The route's name, such as `experience`.")
    address = Text(
        max_length=64,
        required=False,
        help_text="From where alone it may be used: an address, or `caller` for that of who asks for it.",
    )


class TicketSerializer(serializers.Serializer[Any]):
    """A ticket, to be shown once."""

    ticket = serializers.CharField(help_text="For `?ticket=` of the socket's URL. Show it to nobody else.")
    expires_at = serializers.DateTimeField(help_text=f"{TICKET_SECONDS} seconds from now.")


class Tickets(UserApiView):
    """Issues tickets."""

    authentication_classes = (TokenOrStaff,)
    http_method_names: Sequence[str] = ("post",)

    @extend_schema(
        operation_id="issue_ticket",
        request=TicketWantedSerializer,
        responses={201: TicketSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """A ticket that opens one socket of that user, on that route, within half a minute."""
        check_no_query(request)
        wanted = self.body(TicketWantedSerializer())
        route, address = _route(wanted["route"]), self._address(wanted.get("address", ""))
        token: str = request.auth  # type: ignore[assignment]  # that of TokenOrStaff
        expires_at = datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS)
        ticket = _issued(token, route, address=address)
        return Response({"ticket": ticket, "expires_at": expires_at.isoformat()}, status=201)

    def _address(self, wanted: str) -> str:
        """Where it may be used, as the gateway writes addresses; "": anywhere."""
        if not wanted:
            return ""
        told = self.request.META.get("REMOTE_ADDR", "") if wanted == CALLER else wanted
        address = parse_address(told)
        if address is None:
            raise ParseError(
                f"address: {wanted[:64]!r} is none, and not the word 'caller'" if told else _NO_ADDRESS
            )
        return str(address)


_NO_ADDRESS = "address: nothing in front of the gateway says which the caller's is"


def _route(name: str) -> Route:
    """The route of that name, if the gateway's own tickets open it."""
    route = next((each for each in routes() if each.name == name), None)
    if route is None:
        raise NotFound(f"there is no route {name[:255]!r}")
    if route.authenticate is not None:
        raise ParseError(f"route {name!r} finds out by itself who its clients are: no ticket opens it")
    return route


def _issued(token: str, route: Route, *, address: str) -> str:
    diverted = diverted_to(route, token_verifier().claimed(token))
    other = next((each.name for each in routes() if each.name == diverted and each.authenticate is None), "")
    ticket = Ticket(token=token, routes=(route.name, *filter(None, [other])), address=address)
    try:
        issued = issue_sync(ticket, served_by=other)
    except LayerAway as error:
        log.warning("api: no ticket can be issued", extra={"why": str(error)})
        raise TicketsUnavailable(str(error)) from None
    metrics.child(metrics.TICKETS_TOTAL, route.name, "issued").inc()
    return issued
