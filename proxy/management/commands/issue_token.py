"""Print a JSON Web Token that this gateway accepts: for development, for tests, for scripts."""

from __future__ import annotations

import argparse
import json
import math
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from proxy.core.errors import AuthenticationFailed, KeysUnavailable
from proxy.management.staff_command import CommandAnswer, Misused, StaffCommand
from proxy.tokens import MAX_TOKEN_CHARS, access_claims, token_verifier, user_id_of

OWN_CLAIMS = ("exp", "iat", "jti", "iss", "aud", "token_type", "email")


def claim(text: str) -> tuple[str, Any]:
    """(name, value) of `name=value`; a value that is JSON counts as such, any other as text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"a claim is name=value, got {text!r}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


class Command(StaffCommand):
    """Prints the token and nothing else. Reads the settings only; no database is touched."""

    has_bounded_waits = False
    help = __doc__
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("user", help="the user id: the token's subject")
        parser.add_argument("--email", help="the claim `email`")
        parser.add_argument(
            "--minutes", type=float, default=60.0, help="until it expires (default: 60); -1 for one that has"
        )
        parser.add_argument(
            "--claim", type=claim, action="append", default=[], metavar="NAME=VALUE", help="a further claim"
        )

    def answer(self, *, user: str, minutes: float, **options: Any) -> CommandAnswer:
        if not settings.JWT_SIGNING_KEY:
            raise CommandError(
                f"JWT_SIGNING_KEY is not set, and without it no {settings.JWT_ALGORITHM} token can be signed"
            )
        if not 0 < abs(minutes) <= 60 * 24 * 366:
            raise Misused("--minutes must be at most a year, and not 0; below 0 the token has expired")
        verifier = token_verifier()
        payload = _payload(user, minutes=minutes, **options)
        token = verifier.backend.encode(payload)
        if len(token) > MAX_TOKEN_CHARS:
            raise Misused(f"the token would be longer than the {MAX_TOKEN_CHARS} characters accepted")
        try:
            verifier.verify(token)
        except AuthenticationFailed as refused:
            if minutes > 0 or refused.reason != "expired":
                raise CommandError(f"the gateway would not take this token: {refused.message}") from None
        except KeysUnavailable:
            pass  # those of an issuer, which this process has not fetched
        expires_at = datetime.fromtimestamp(payload["exp"], UTC)
        return CommandAnswer({"user_id": user, "token": token, "expires_at": expires_at}, [token])


def _payload(
    user: str, *, minutes: float, email: str | None, claim: list[tuple[str, Any]], **_: Any
) -> dict[str, Any]:
    user_claim = settings.JWT_USER_ID_CLAIM
    for name, _value in claim:
        if name in {*OWN_CLAIMS, user_claim}:
            raise Misused(f"--claim {name}: this claim is not free to be set")
    try:
        user_id = user_id_of(user)
    except AuthenticationFailed:
        raise Misused("USER must be printable text of 1 to 255 characters") from None
    seconds = round(minutes * 60) or (1 if minutes > 0 else -1)
    if seconds < 0:
        seconds -= math.ceil(settings.JWT_LEEWAY_SECONDS)  # within it, the token would still be taken
    return {**dict(claim), **access_claims(user_id, seconds=seconds, email=email or "")}
