"""Who calls the HTTP API, and what they may do: an API key, or a token of one of Django's users."""

from __future__ import annotations

from dataclasses import dataclass

from asgiref.sync import async_to_sync
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from proxy.cluster.rules import is_blocked
from proxy.core.errors import Blocked
from proxy.core.rights import Rights
from proxy.tables import api_keys
from proxy.tables.token_permissions import rights_of_user
from proxy.tokens import token_verifier

SCHEMES = "Api-Key, Bearer"
_NOBODY = (
    "This needs `Authorization: Api-Key KEY` or `Authorization: Bearer TOKEN`, and a valid one: "
    "`manage.py issue_api_key` makes keys."
)
_NO_SUCH_KEY = "That is no API key of this gateway, or it was revoked: `manage.py issue_api_key` makes keys."


@dataclass(frozen=True, slots=True)
class Caller:
    """As logs name it, and by what its idempotency keys are told from others'."""

    name: str
    rights: Rights
    # What DRF asks of a user.
    is_authenticated: bool = True


class KeyOrToken(BaseAuthentication):
    """Nothing here is for anybody else.

    Raises:
        AuthenticationFailed, TokenRefused: no key and no token, or none that is valid.
        Blocked: staff keep the token's user out.
        KeysUnavailable: the token's issuer has not been asked for its keys yet.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        match scheme.lower():  # RFC 9110, section 11.4
            case "api-key":
                return _owner_of_key(shown.strip()), None
            case "bearer" if not api_keys.looks_like_one(shown.strip()):
                return _owner_of_token(shown.strip(), address=request.META.get("REMOTE_ADDR", "")), None
        raise AuthenticationFailed(_NOBODY)

    def authenticate_header(self, request: Request) -> str:
        return SCHEMES


def _owner_of_key(shown: str) -> Caller:
    key = api_keys.find(shown)
    if key is None:
        raise AuthenticationFailed(_NO_SUCH_KEY if shown else _NOBODY)
    return Caller(f"key {key}", api_keys.rights_of(key))


def _owner_of_token(shown: str, *, address: str) -> Caller:
    async def verified() -> str:  # on the loop, which the keys of an issuer belong to
        return token_verifier().verify(shown).user_id

    user_id = async_to_sync(verified)()
    if is_blocked(user_id, address=address):
        raise Blocked("a block matches")
    return Caller(f"user {user_id}", rights_of_user(user_id))
