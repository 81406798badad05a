"""JSON Web Tokens: who is this client? No database is asked.

Signature, issuer, audience and times are simplejwt's and PyJWT's to check; this module adds the keys of a
JWKS, a bounded reason for each refusal, and the reading of a principal from the claims.
"""

from __future__ import annotations

import re
import time
import uuid
from functools import lru_cache
from typing import Any

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend

from proxy.core.errors import GatewayError, TokenExpired, TokenRefused
from proxy.core.principal import LAST_SECOND, Principal, is_user_id
from proxy.engine.jwks import Jwks, UnknownKey

MAX_TOKEN_CHARS = 8 * 1024
MAX_EMAIL_CHARS = 254
_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_TIME_CLAIMS = ("exp", "nbf", "iat")
# The first match counts: PyJWT's errors are a tree, and the general ones come last.
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.exceptions.InvalidSubjectError, "subject"),
)
_MISSING_CLAIM = {"exp": "no_expiry", "iss": "issuer", "aud": "audience"}


class Backend(TokenBackend):
    """simplejwt's backend, with PyJWT's own checks, which the services behind make too, and a JWKS.

    A token with `aud` is refused where no audience is set, and a `sub` that is no text everywhere (RFC 7519,
    4.1): a service would refuse it next. `exp` is required: a token without an end could never be got rid of.
    `iat` is not compared with our clock, since an issuer whose clock runs half a second ahead would have its
    newest tokens refused; `nbf` is the claim that says "not before".
    """

    def __init__(self, algorithm: str, *, jwks: Jwks | None = None, **options: Any) -> None:
        super().__init__(algorithm, **options)
        self.jwks = jwks

    def get_verifying_key(self, token: Any) -> Any:
        if self.jwks is None:
            return super().get_verifying_key(token)
        header = jwt.get_unverified_header(token)
        if header.get("alg") != self.algorithm:  # or a stranger's token would make us fetch the keys
            raise jwt.InvalidAlgorithmError
        return self.jwks.key(header.get("kid"))

    def decode(self, token: Any, verify: bool = True, *, expired: bool = False) -> dict[str, Any]:
        """The claims of a valid token, or of one that was valid once, if `expired`.

        Raises PyJWT's errors as they are, UnknownKey and KeysUnavailable.
        """
        return jwt.decode(
            token,
            self.get_verifying_key(token),
            algorithms=[self.algorithm],
            audience=self.audience,
            issuer=self.issuer,
            leeway=self.get_leeway(),
            options={
                "verify_signature": verify,
                "verify_iat": False,
                "verify_exp": not expired,
                "require": ["exp"],
            },
        )


class TokenVerifier:
    """Tells whose a token is. One serves a whole process; it is not changed after it was made."""

    def __init__(self, backend: Backend, *, user_id_claim: str = "sub") -> None:
        self.backend = backend
        self.user_id_claim = user_id_claim

    @property
    def jwks(self) -> Jwks | None:
        """The keys to keep fresh in the background and to report in /ready; None without JWT_JWKS_URL."""
        return self.backend.jwks

    def verify(self, raw: str) -> Principal:
        """Whose `raw` is. Takes some 30 µs for HS256, never waits, asks no database.

        Raises:
            TokenRefused: with its reason; TokenExpired if it was valid once. Neither shows it.
            KeysUnavailable: the JWKS is not loaded, or is to be fetched again for this token's key.
        """
        if not raw:
            raise TokenRefused("missing")
        if len(raw) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(raw):
            raise TokenRefused("malformed")
        claims, expires_at = self._decode(raw)
        # External issuers put no token_type; where there is one, a refresh token must not open sockets.
        if claims.get("token_type", "access") != "access":
            raise TokenRefused("not_access_token")
        return Principal(
            user_id=user_id_of(claims.get(self.user_id_claim)),
            email=_email_of(claims),
            expires_at=expires_at,
            claims=claims,
            token=raw,
        )

    def claimed(self, raw: str) -> Principal | None:
        """Who `raw` says it is for, whoever wrote it; None for what is no token.

        Nothing is verified: only for what does no harm where it is untrue. It has no `token` to be forwarded.
        """
        if len(raw) > MAX_TOKEN_CHARS or not _COMPACT.fullmatch(raw):
            return None
        try:
            claims = jwt.decode(raw, options={"verify_signature": False})
            return Principal(user_id=user_id_of(claims.get(self.user_id_claim)), claims=claims)
        except (jwt.PyJWTError, TokenRefused, RecursionError):
            return None

    def _decode(self, raw: str) -> tuple[dict[str, Any], float]:
        """The claims of `raw`, and its `exp` as Unix seconds."""
        try:
            claims = self.backend.decode(raw)
        except jwt.ExpiredSignatureError:
            raise TokenExpired(was_of=self._was_of(raw)) from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenRefused(_MISSING_CLAIM.get(error.claim, "malformed")) from None
        except UnknownKey:
            raise TokenRefused("unknown_key") from None
        except jwt.PyJWTError as error:
            reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "malformed")
            raise TokenRefused(reason) from None
        if not all(_is_time(claims[name]) for name in _TIME_CLAIMS if name in claims):
            raise TokenRefused("absurd_time")
        return claims, float(claims["exp"])

    def _was_of(self, raw: str) -> Principal | None:
        """Whose the expired `raw` was; None if that cannot be told."""
        try:
            claims = self.backend.decode(raw, expired=True)
            return Principal(user_id=user_id_of(claims.get(self.user_id_claim)), email=_email_of(claims))
        except (jwt.PyJWTError, GatewayError, UnknownKey):
            return None


def _is_time(value: Any) -> bool:
    """Whether it is a NumericDate (RFC 7519, section 2) of the years 1970 to 9999."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LAST_SECOND


def user_id_of(subject: Any) -> str:
    """The user id in a subject claim: printable text of 1 to 255 characters, or a whole number.

    Raises TokenRefused (`subject`) for anything else.
    """
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if is_user_id(subject):
        return str(subject)
    raise TokenRefused("subject")


def _email_of(claims: dict[str, Any]) -> str:
    """The email claim; one that no record could hold counts as none."""
    email = claims.get("email")
    if isinstance(email, str) and email.isprintable() and len(email) <= MAX_EMAIL_CHARS:
        return email
    return ""


def access_claims(user_id: str, *, seconds: int, email: str = "") -> dict[str, Any]:
    """What a token of our own says: that user, for so long from now; below 0, until so long ago."""
    now = int(time.time())
    return {
        "token_type": "access",
        settings.JWT_USER_ID_CLAIM: user_id,
        **({"email": email} if email else {}),
        "iat": now + min(0, seconds),
        "exp": now + seconds,
        "jti": uuid.uuid4().hex,
    }


@lru_cache(maxsize=1)
def token_verifier() -> TokenVerifier:
    """The process's verifier, as the JWT_… settings describe it. `jwks.run()` fetches keys."""
    url, algorithm = settings.JWT_JWKS_URL, settings.JWT_ALGORITHM
    backend = Backend(
        algorithm,
        jwks=Jwks(url, algorithm=algorithm) if url else None,
        signing_key=settings.JWT_SIGNING_KEY,
        verifying_key=settings.JWT_VERIFYING_KEY,
        audience=settings.JWT_AUDIENCE or None,
        issuer=settings.JWT_ISSUER or None,
        leeway=settings.JWT_LEEWAY_SECONDS,
    )
    return TokenVerifier(backend, user_id_claim=settings.JWT_USER_ID_CLAIM)
