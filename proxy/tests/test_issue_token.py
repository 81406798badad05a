import io
import time
from typing import Any

import jwt
import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from proxy.core.errors import AuthenticationFailed
from proxy.tests.tokens import PRIVATE, PUBLIC, SECRET, pem_pair
from proxy.tokens import token_verifier


@pytest.fixture(autouse=True)
def _known_settings(settings: Settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEY, settings.JWT_USER_ID_CLAIM = "HS256", SECRET, "sub"
    settings.JWT_ISSUER = settings.JWT_AUDIENCE = settings.JWT_JWKS_URL = ""


def issue_token(*arguments: str) -> str:
    """What the command writes to stdout. Having no `db` fixture, it fails if the database is touched."""
    out, err = io.StringIO(), io.StringIO()
    call_command("issue_token", *arguments, stdout=out, stderr=err)
    assert err.getvalue() == ""
    return out.getvalue()


def test_it_prints_one_token_that_the_gateway_accepts_and_nothing_else() -> None:
    printed = issue_token("42", "--email", "a@example.com")
    assert printed.count("\n") == 1
    assert printed.endswith("\n")
    principal = token_verifier().verify(printed.strip())
    assert (principal.user_id, principal.email) == ("42", "a@example.com")
    assert 3590 <= (principal.expires_at or 0) - time.time() <= 3600


def test_issuer_audience_and_user_claim_follow_the_settings(settings: Settings) -> None:
    settings.JWT_ISSUER, settings.JWT_AUDIENCE, settings.JWT_USER_ID_CLAIM = "me", "gateway", "uid"
    assert token_verifier().verify(issue_token("42").strip()).user_id == "42"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_it_signs_with_a_private_key_too(settings: Settings, algorithm: str) -> None:
    settings.JWT_ALGORITHM = algorithm
    settings.JWT_SIGNING_KEY = pem_pair(algorithm)[PRIVATE]
    settings.JWT_VERIFYING_KEY = pem_pair(algorithm)[PUBLIC]
    assert token_verifier().verify(issue_token("42").strip()).user_id == "42"


@pytest.mark.parametrize(
    ("given", "value"),
    [("level=7", 7), ("level=seven", "seven"), ("level=", ""), ("level=a=b", "a=b"), ('level=["a"]', ["a"])],
)
def test_a_further_claim_is_json_or_text(given: str, value: Any) -> None:
    printed = issue_token("42", "--claim", given).strip()
    assert jwt.decode(printed, options={"verify_signature": False})["level"] == value


def test_minutes_may_be_a_fraction() -> None:
    token = issue_token("42", "--minutes", "0.1").strip()
    assert (token_verifier().verify(token).expires_at or 60) - time.time() <= 6


@pytest.mark.parametrize("minutes", ["-1", "-0.001"])
@pytest.mark.parametrize("leeway_seconds", [0, 119.5])
def test_with_minutes_below_zero_the_token_has_expired(
    settings: Settings, leeway_seconds: float, minutes: str
) -> None:
    settings.JWT_LEEWAY_SECONDS = leeway_seconds
    token = issue_token("42", "--minutes", minutes).strip()
    with pytest.raises(AuthenticationFailed) as refused:
        token_verifier().verify(token)
    assert refused.value.reason == "expired"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("42", "--minutes", "0"), "--minutes must be"),
        (("42", "--minutes", "nan"), "--minutes must be"),
        (("42", "--claim", "level"), "a claim is name=value"),
        (("42", "--claim", "exp=9"), "--claim exp"),
        (("42", "--claim", "sub=1"), "--claim sub"),
        (("",), "USER must be"),
        (("a\nb",), "USER must be"),
        (("42", "--claim", "padding=" + "x" * 8192), "longer than"),
        (("42", "--claim", "nbf=1764000000000"), "would not take this token: .* not valid yet"),
        (("42", "--claim", "nbf=yesterday"), "would not take this token"),
    ],
)
def test_a_wrong_argument_is_named(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        issue_token(*arguments)


def test_with_the_keys_of_an_issuer_that_were_not_fetched_it_prints_the_token(settings: Settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEY = "ES256", pem_pair("ES256")[PRIVATE]
    settings.JWT_JWKS_URL = "http://127.0.0.1:1/keys"
    assert issue_token("42").count(".") == 2


def test_without_a_signing_key_it_says_so(settings: Settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_SIGNING_KEY = "RS256", ""
    with pytest.raises(CommandError, match="JWT_SIGNING_KEY is not set"):
        issue_token("42")
