"""Who calls the HTTP API, and what they may do: an API key, or a token of one of Django's users."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from proxy.cluster.revocation_watch import is_revoked
from proxy.cluster.rules import is_blocked
from proxy.core.errors import Blocked, GatewayError, TokenRevoked
from proxy.core.principal import Principal
from proxy.core.rights import Rights
from proxy.rest.rates import UserRate
from proxy.tables import api_keys
from proxy.tables.token_permissions import rights_of_staff, rights_of_user
from proxy.tables.token_users import token_user_id
from proxy.tokens import access_claims, token_verifier

log = logging.getLogger(__name__)

SCHEMES = "Api-Key, Bearer"
BEARER = "Bearer"
_NOBODY = (
    "This needs `Authorization: Api-Key KEY` or `Authorization: Bearer TOKEN`, and a valid one: "
    "`manage.py issue_api_key` makes keys."
)
_NOR_STAFF = f"{_NOBODY} Or a session of staff, with its CSRF token where something is done."
_NO_SUCH_KEY = "That is no API key of this gateway, or it was revoked: `manage.py issue_api_key` makes keys."


_CALLS = UserRate(lambda: settings.API_RATE_PER_USER)
_CALLS_OF_STAFF = UserRate(lambda: settings.API_RATE_PER_USER)  # who may be called as some player is
_NO_USER = "This needs `Authorization: Bearer TOKEN`, with the token of a user."
_NO_USER_NOR_STAFF = f"{_NO_USER[:-1]}; or a session of staff, with its CSRF token."
_OTHER_USERS = "The users of tokens are not Django's here (REVOKE_ON=none): this needs the token of a user."
_NO_KEY = "No token can be signed here (JWT_SIGNING_KEY): this needs the token of a user."
# A link on such a token is closed with 4010 once it has expired, as on any other.
STAFF_TOKEN_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Caller:
    """As logs name it, and by what its idempotency keys are told from others'."""

    name: str
    rights: Rights
    # What DRF asks of a user.
    is_authenticated: bool = True
    # Who is logged in to admin; None of all others.
    staff: Any = None

    @property
    def doer(self) -> Any:
        """Whose deeds they are, in the audit: a user of admin, or the name."""
        return self.name if self.staff is None else self.staff


@dataclass(frozen=True)
class User:
    """The user of a token; what it may do beside what any user may is looked up when somebody asks."""

    user_id: str
    is_authenticated: bool = True

    @property
    def name(self) -> str:
        return f"user {self.user_id}"

    @cached_property
    def rights(self) -> Rights:
        return rights_of_user(self.user_id)


class KeyOrToken(BaseAuthentication):
    """Nothing here is for anybody else.

    Raises:
        AuthenticationFailed, TokenRefused: no key and no token, or none that is valid; TokenRevoked is one.
        Blocked: staff keep the token's user out.
        KeysUnavailable: the token's issuer has not been asked for its keys yet.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        scheme, shown = _shown(request)
        match scheme:
            case "api-key":
                return _owner_of_key(shown), None
            case "bearer" if not api_keys.looks_like_one(shown):
                return _owner_of_token(shown, address=request.META.get("REMOTE_ADDR", "")), None
        raise AuthenticationFailed(_NOBODY)

    def authenticate_header(self, request: Request) -> str:
        return SCHEMES


class KeyTokenOrStaff(KeyOrToken):
    """For what staff do in admin, by their session there as well: by the same permissions.

    Raises:
        AuthenticationFailed and others: as KeyOrToken.
        PermissionDenied: something is to be done, and no CSRF token came with the session.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None]:
        if request.headers.get("Authorization"):
            return super().authenticate(request)
        user: Any = request._request.user
        if not (user.is_active and user.is_staff):
            raise AuthenticationFailed(_NOR_STAFF)
        SessionAuthentication().enforce_csrf(request)
        return Caller(f"staff {user.get_username()}", rights_of_staff(user), staff=user), None


class UserToken(BaseAuthentication):
    """For the users themselves, by the token that opens sockets, too; each at a rate, on each process.

    Raises:
        AuthenticationFailed, TokenRefused, Blocked, KeysUnavailable: as KeyOrToken.
        TooMany: this user calls too often. No database is asked.
    """

    def authenticate(self, request: Request) -> tuple[User | Caller, None]:
        scheme, shown = _shown(request)
        if scheme != "bearer" or api_keys.looks_like_one(shown):
            raise AuthenticationFailed(_NO_USER)
        principal = _verified(shown)
        _CALLS.take(principal.user_id)
        return _let_in(principal, request.META.get("REMOTE_ADDR", "")), None

    def authenticate_header(self, request: Request) -> str:
        return BEARER


class TokenOrStaff(UserToken):
    """For users by their tokens, for staff by their session in admin; `request.auth` is a token of theirs.

    Raises:
        AuthenticationFailed and others: as UserToken.
        PermissionDenied: no CSRF token came with the session, no token can be signed here, or the users of
            tokens are not Django's.
    """

    def authenticate(self, request: Request) -> tuple[User | Caller, Any]:
        user: Any = request._request.user
        if _shown(request)[0] == "bearer":
            return super().authenticate(request)[0], _shown(request)[1]
        if not (user.is_active and user.is_staff):
            raise AuthenticationFailed(_NO_USER_NOR_STAFF)
        SessionAuthentication().enforce_csrf(request)
        _CALLS_OF_STAFF.take(str(user.pk))
        token = _token_of(user)
        return _let_in(_verified(token), request.META.get("REMOTE_ADDR", "")), token


def _token_of(staff: Any) -> str:
    """A token of our own for a member of staff. Raises PermissionDenied: there can be none here."""
    if not settings.REVOKE_ON:
        raise PermissionDenied(_OTHER_USERS)
    if not settings.JWT_SIGNING_KEY:
        raise PermissionDenied(_NO_KEY)
    user_id = token_user_id(staff)
    log.info("token signed for a session of staff", extra={"user": user_id, "staff": str(staff)})
    claims = access_claims(user_id, seconds=STAFF_TOKEN_SECONDS, email=staff.email)
    return token_verifier().backend.encode(claims)


class UserTokenOrKey(UserToken):
    """For users, and for programs that a key allows it."""

    def authenticate(self, request: Request) -> tuple[User | Caller, None]:
        scheme, shown = _shown(request)
        return (_owner_of_key(shown), None) if scheme == "api-key" else super().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        return SCHEMES


def _shown(request: Request) -> tuple[str, str]:
    """The scheme in lower case (RFC 9110, section 11.4), and what is shown by it."""
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower(), shown.strip()


def _owner_of_key(shown: str) -> Caller:
    key = api_keys.find(shown)
    if key is None:
        raise AuthenticationFailed(_NO_SUCH_KEY if shown else _NOBODY)
    return Caller(f"key {key}", api_keys.rights_of(key))


def _owner_of_token(shown: str, *, address: str) -> Caller:
    user = _let_in(_verified(shown), address)
    return Caller(user.name, user.rights)


def _verified(shown: str) -> Principal:
    """Whose token that is."""

    async def verify() -> Principal:  # on the loop, which the keys of an issuer belong to
        return token_verifier().verify(shown)

    return async_to_sync(verify)()


def _let_in(principal: Principal, address: str) -> User:
    """Unless staff keep the user out, or the token was taken back."""
    why: GatewayError | None = None
    if is_revoked(principal):
        why = TokenRevoked()
    elif is_blocked(principal.user_id, address=address):
        why = Blocked("a block matches")
    if why is not None:
        why.was_of = principal
        raise why
    return User(principal.user_id)
