"""May this client come in? What costs least is asked first, and who it is only after that.

Each route finds out who a client is in its own way; most by a JSON Web Token.
"""

from __future__ import annotations

import time
from traceback import format_exception

from django.conf import settings

from proxy.cluster.revocation_watch import shown_by
from proxy.core.credentials import TICKET_PARAMETER, Credentials
from proxy.core.errors import Disabled, GatewayError
from proxy.core.hook_failures import HookFailed
from proxy.core.principal import Principal, is_user_id
from proxy.core.redaction import without
from proxy.core.routes import Authenticate, Subject
from proxy.socket.hooks import ask
from proxy.socket.opening import Opening
from proxy.socket.scope import captures_of
from proxy.socket.ticketing import token_for


async def check(opening: Opening) -> None:
    """What can be refused whoever the client is, and without asking anybody. Raises GatewayError: why."""
    scope, node, limits = opening.scope, opening.node, opening.served.caps
    address = scope["client_address"]
    node.admission.check_rate(limits, address)
    await node.rules.ready()
    node.rules.check(user_id="", address=address)
    if scope["refusal"] is not None:
        raise scope["refusal"]
    if not settings.WEBSOCKET_ENABLED:
        raise Disabled("WEBSOCKET_ENABLED is false")
    refusal = node.door.refusal(len(node.links))  # our server has asked at the door; no other does
    if refusal is not None:
        raise refusal
    node.admission.check_address(limits, address)


async def authenticate(opening: Opening) -> Principal:
    """The client's identity, left in `scope["principal"]`, too; its token does not stay in the scope.

    `scope["shown"]` is what it is judged by if tokens are taken back from now on, be it before the accept.
    Raises GatewayError: it has none here, or one that was taken back.
    """
    scope, began = opening.scope, time.time()
    token, tickets = scope.pop("token"), scope.pop("tickets")
    if opening.route.authenticate is not None:
        if tickets:  # the route's own: the gateway issues none for it
            scope["query"][TICKET_PARAMETER] = tickets[0]
        principal = await _found_by(opening.route.authenticate, opening, token)
    else:
        if tickets:
            token = await token_for(opening, tickets, token=token)
        principal = opening.node.verifier.verify(token)
    scope["principal"] = principal
    scope["shown"] = shown_by(principal, at=began, vouched=opening.route.authenticate is not None)
    opening.node.rules.revocations.check(principal.user_id, scope["shown"])
    return principal


async def _found_by(hook: Authenticate, opening: Opening, token: str) -> Principal:
    """Who the client is by the route's own `authenticate`. Raises GatewayError, without the token."""
    scope, seconds = opening.scope, opening.served.limits.dial_timeout_seconds
    credentials = Credentials(
        token=token, query=scope["query"], params=captures_of(scope), client_address=scope["client_address"]
    )
    try:
        return _checked(await ask(hook, credentials, name="authenticate", within_seconds=seconds))
    except GatewayError as error:
        untold = _without_token(error, token)
        raise untold from untold.__cause__


def _checked(answer: object) -> Principal:
    """What a route answered, if it is somebody: the user id goes into records, topics and headers."""
    if isinstance(answer, Principal) and is_user_id(answer.user_id):
        return answer
    said = repr(answer.user_id) if isinstance(answer, Principal) else type(answer).__name__
    mistake = f"authenticate raises AuthenticationFailed or answers a Principal with a user id, not {said}"
    raise HookFailed.because("authenticate", TypeError(mistake))


def _without_token(error: GatewayError, token: str) -> GatewayError:
    """`error`, or another like it, that keeps the token to itself where it is logged.

    Nobody knows an opaque one by its shape, and what looks it up may raise it: KeyError, ValueError of `int`.
    """
    error.args = tuple(without(each, token) if isinstance(each, str) else each for each in error.args)
    if isinstance(error, HookFailed) and error.__cause__ is not None:
        told = "".join(format_exception(error.__cause__))
        clean = without(told, token)
        if clean != told:
            return HookFailed.because(error.hook, RuntimeError(clean))
    return error


async def authorize(opening: Opening, subject: Subject) -> None:
    """Ask the route whether this client may come in. Raises GatewayError (Forbidden, as a rule): it may not.

    Or the route's own code failed, or answered: one that says False in place of raising lets nobody in.
    """
    hook, seconds = opening.route.authorize, opening.served.limits.dial_timeout_seconds
    if hook is None:
        return
    answer: object = await ask(hook, subject, name="authorize", within_seconds=seconds)
    if answer is not None:
        mistake = TypeError(f"authorize raises Forbidden or answers None; it answered {answer!r}")
        raise HookFailed("authorize") from mistake
