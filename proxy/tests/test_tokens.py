import math
import time
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from proxy.core.errors import KeysUnavailable, TokenExpired, TokenRefused
from proxy.core.human import is_printable
from proxy.core.principal import LAST_SECOND, Principal
from proxy.engine.jwks import Jwks, parse_keys
from proxy.socket.control import isoformat, seconds_left
from proxy.tests.tokens import PRIVATE, PUBLIC, SECRET, claims, issue, jwk, key_set, pem_pair
from proxy.tests.verifying import handmade, reason, verifier
from proxy.tokens import TokenVerifier, token_verifier

NOW = int(time.time())  # when the module is read: a long suite may be minutes past it


# --- What is accepted -----
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_token_signed_with_the_shared_key_is_accepted(algorithm: str) -> None:
    key = SECRET
    principal = verifier(algorithm).verify(issue(key, algorithm=algorithm, email="a@example.com", level=7))
    assert (principal.user_id, principal.email) == ("42", "a@example.com")
    assert principal.claims["level"] == 7
    assert principal.expires_at == principal.claims["exp"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_signed_with_the_private_key_is_accepted_by_the_public_one(algorithm: str) -> None:
    by = verifier(algorithm, signing_key="", verifying_key=pem_pair(algorithm)[PUBLIC])
    assert by.verify(issue(pem_pair(algorithm)[PRIVATE], algorithm=algorithm)).user_id == "42"


def test_the_raw_token_is_kept_to_be_forwarded_but_not_shown() -> None:
    raw = issue()
    principal = verifier().verify(raw)
    assert principal.token == raw
    assert raw not in repr(principal)


def test_an_external_issuers_token_needs_neither_token_type_nor_jti_nor_iat() -> None:
    assert verifier().verify(issue(token_type=None, jti=None, iat=None)).user_id == "42"


def test_a_clock_that_runs_ahead_of_ours_does_not_spoil_a_token() -> None:
    assert verifier().verify(issue(iat=NOW + 30)).user_id == "42"


@pytest.mark.parametrize("subject", ["42", "auth0|é", "0", "\N{WOMAN}\u200d\N{GIRL}"])
def test_a_subject_is_text(subject: str) -> None:
    assert verifier().verify(handmade({"alg": "HS256"}, claims(sub=subject))).user_id == subject


@pytest.mark.parametrize(("value", "user_id"), [("ada", "ada"), (7, "7"), (0, "0")])
def test_the_user_id_may_stand_in_another_claim_as_text_or_a_whole_number(value: Any, user_id: str) -> None:
    assert verifier(user_id_claim="uid").verify(issue(uid=value, sub=None)).user_id == user_id


@pytest.mark.parametrize(
    "email", [None, 7, "x" * 255 + "@example.com", "a\x00@example.com", ["a@example.com"]]
)
def test_an_email_that_no_record_could_hold_counts_as_none(email: Any) -> None:
    assert verifier().verify(issue(email=email)).email == ""


def test_leeway_is_given_to_expiry_and_not_before() -> None:
    by = verifier(leeway=3600)
    assert by.verify(issue(exp=NOW - 5)).user_id == "42"
    assert by.verify(issue(nbf=NOW + 5)).user_id == "42"


def test_issuer_and_audience_are_asked_for_when_they_are_set() -> None:
    by = verifier(issuer="https://id.example.com", audience="gateway")
    good: dict[str, Any] = {"iss": "https://id.example.com", "aud": "gateway"}
    assert by.verify(issue(**good)).user_id == "42"
    assert by.verify(issue(**{**good, "aud": ["other", "gateway"]})).user_id == "42"
    assert reason(issue(**{**good, "iss": "https://evil.example"}), by) == "issuer"
    assert reason(issue(**{**good, "iss": None}), by) == "issuer"
    assert reason(issue(**{**good, "aud": "other"}), by) == "audience"
    assert reason(issue(**{**good, "aud": None}), by) == "audience"


def changed(changes: dict[str, Any]) -> str:
    """A test's id without the time of day: all processes of a run must find the same tests."""
    return "-".join(changes) or "nothing"


CLAIMS_OF_OTHERS = [
    {}, {"aud": "game"}, {"aud": ["game", "other"]}, {"aud": []}, {"aud": ""}, {"aud": 7}, {"sub": 42},
    {"jti": 7}, {"nbf": NOW + 86_400}, {"nbf": "x"}, {"exp": NOW - 5}, {"exp": "x"}, {"sub": None},
]  # fmt: skip


@pytest.mark.parametrize("changes", CLAIMS_OF_OTHERS, ids=changed)
def test_what_a_service_with_pyjwts_defaults_refuses_is_refused_here_already(changes: dict[str, Any]) -> None:
    raw = handmade({"alg": "HS256"}, claims(uid="42", **changes))
    by = verifier(user_id_claim="uid")
    try:
        jwt.decode(raw, SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        assert reason(raw, by) != "signature"
    else:
        assert by.verify(raw).user_id == "42"


# --- What is refused -----
def test_no_token_is_missing() -> None:
    assert reason("") == "missing"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": NOW - 5}, "expired"),
        ({"exp": None}, "no_expiry"),
        ({"nbf": NOW + 86_400}, "not_yet_valid"),
        ({"token_type": "refresh"}, "not_access_token"),
        ({"token_type": "sliding"}, "not_access_token"),
        ({"token_type": 1}, "not_access_token"),
        ({"token_type": ["access"]}, "not_access_token"),
        ({"sub": None}, "subject"),
    ],
)
def test_a_token_is_refused_for_its_claims(changes: dict[str, Any], expected: str) -> None:
    assert reason(issue(**changes)) == expected


@pytest.mark.parametrize(
    "subject", ["", " \n", "a\x00b", "x" * 256, 42, 4.2, True, [], {"id": 1}, "\ud800", "a\r\nX-Admin: 1"]
)
def test_a_subject_that_could_be_nobodys_id_is_refused(subject: Any) -> None:
    assert reason(handmade({"alg": "HS256"}, claims(sub=subject))) == "subject"


def test_expired_has_a_type_of_its_own() -> None:
    with pytest.raises(TokenExpired) as expired:
        verifier().verify(issue(exp=NOW - 5, email="ada@example.com"))
    assert expired.value.cause == "token_expired"
    assert expired.value.was_of == Principal(user_id="42", email="ada@example.com")


def test_whose_an_expired_one_was_is_told_only_where_all_else_is_right() -> None:
    with pytest.raises(TokenExpired) as of_nobody:
        verifier().verify(issue(exp=NOW - 5, sub=""))
    assert of_nobody.value.was_of is None
    with pytest.raises(TokenRefused) as forged:
        verifier().verify(issue(exp=NOW - 5, key="somebody else's key, which is long enough"))
    assert forged.value.cause == "token_signature"
    assert not isinstance(forged.value, TokenExpired)


@pytest.mark.parametrize("expiry", ["soon", math.inf, math.nan, [], {}, False])
def test_an_expiry_that_is_no_number_is_no_expiry(expiry: Any) -> None:
    assert reason(handmade({"alg": "HS256"}, claims(exp=expiry))) in {"malformed", "expired"}


IN_MILLISECONDS = (NOW + 86_400) * 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": IN_MILLISECONDS},
        {"exp": LAST_SECOND + 1},
        {"exp": 10**400},
        {"exp": str(NOW + 86_400)},
        {"iat": IN_MILLISECONDS},
        {"iat": "yesterday"},
        {"iat": math.nan},
        {"iat": -1},
        {"iat": True},
        {"nbf": -math.pi},
        {"nbf": str(NOW)},
    ],
    ids=changed,
)
def test_a_time_that_is_not_in_seconds_is_refused_and_its_sender_told_so(changes: dict[str, Any]) -> None:
    raw = handmade({"alg": "HS256"}, claims(**changes))
    assert reason(raw) == "absurd_time"
    with pytest.raises(TokenRefused) as refused:
        verifier().verify(raw)
    assert "not milliseconds" in refused.value.message


def test_the_end_of_the_calendar_is_the_last_time_there_is() -> None:
    principal = verifier().verify(issue(exp=LAST_SECOND))
    assert isoformat(principal.expires_at) == "9999-12-31T23:59:59+00:00"


NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from(
        [NOW + 86_400, NOW + 86_400.5, IN_MILLISECONDS, LAST_SECOND, 10**400, -(10**400), 1e308]
    )
)
CLAIM = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=20) | NUMBERS.map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CLAIM_NAMES = ("exp", "nbf", "iat", "sub", "aud", "iss", "jti", "email", "token_type", "uid")


@examples(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
@given(st.dictionaries(st.sampled_from(CLAIM_NAMES), CLAIM), st.sampled_from(["sub", "uid"]))
def test_whatever_an_issuer_signs_gives_a_sound_principal_or_a_known_refusal(
    changes: dict[str, Any], user_id_claim: str
) -> None:
    raw = handmade({"alg": "HS256"}, {**claims(uid="42"), **changes})
    by = verifier(user_id_claim=user_id_claim)
    try:
        principal = by.verify(raw)
    except TokenRefused:
        assert reason(raw, by) not in {"signature", "missing"}
        return
    assert is_printable(principal.user_id)
    assert principal.email.isprintable()
    assert isoformat(principal.expires_at)
    assert 0 < (seconds_left(principal, grace_seconds=1) or 0) < LAST_SECOND


# --- Keys from a JWKS -----
def loaded_jwks(*entries: dict[str, Any], algorithm: str = "RS256") -> Jwks:
    jwks = Jwks("http://127.0.0.1:1/", algorithm=algorithm)
    jwks._keys = parse_keys(key_set(*entries), algorithm=algorithm).keys
    jwks._fetched_at = time.monotonic()
    return jwks


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_the_key_is_chosen_by_the_tokens_key_id(algorithm: str) -> None:
    jwks = loaded_jwks(jwk(algorithm, "k0"), jwk(algorithm, "k1", serial=1), algorithm=algorithm)
    by = verifier(algorithm, signing_key="", jwks=jwks)
    private = pem_pair(algorithm, 1)[PRIVATE]
    assert by.verify(issue(private, algorithm=algorithm, headers={"kid": "k1"})).user_id == "42"
    assert reason(issue(private, algorithm=algorithm, headers={"kid": "k0"}), by) == "signature"
    with pytest.raises(KeysUnavailable):  # nobody has asked the issuer for it yet
        by.verify(issue(private, algorithm=algorithm, headers={"kid": "k2"}))
    assert reason(issue(private, algorithm=algorithm), by) == "unknown_key"


def test_a_token_of_another_algorithm_never_reaches_the_key_set() -> None:
    by = verifier("RS256", signing_key="", jwks=Jwks("http://127.0.0.1:1/", algorithm="RS256"))
    assert reason(handmade({"alg": "HS256", "kid": "k9"}, claims()), by) == "algorithm"


def test_before_the_key_set_is_loaded_a_token_can_come_back_in_seconds() -> None:
    by = verifier("RS256", signing_key="", jwks=Jwks("http://127.0.0.1:1/", algorithm="RS256"))
    with pytest.raises(KeysUnavailable) as refused:
        by.verify(issue(pem_pair("RS256")[PRIVATE], algorithm="RS256", headers={"kid": "k0"}))
    assert refused.value.status == 503
    assert refused.value.retry_after_seconds


# --- From settings -----
def test_the_verifier_follows_the_settings(settings: Settings) -> None:
    settings.JWT_SIGNING_KEY, settings.JWT_USER_ID_CLAIM = SECRET, "uid"
    assert token_verifier().verify(issue(uid="9", sub=None)).user_id == "9"
    assert token_verifier() is token_verifier()
    settings.JWT_AUDIENCE = "gateway"
    assert reason(issue(uid="9"), token_verifier()) == "audience"
    assert token_verifier().jwks is None


def test_a_jwks_url_in_the_settings_makes_a_key_set_that_is_not_loaded_yet(settings: Settings) -> None:
    settings.JWT_ALGORITHM, settings.JWT_JWKS_URL = "RS256", "http://127.0.0.1:1/keys"
    jwks = token_verifier().jwks
    assert jwks is not None
    assert jwks.is_ready is False


def test_a_verification_is_cheap() -> None:
    by, raw = verifier(), issue(email="a@example.com")
    best = min(_seconds(by, raw) for _ in range(7))
    assert best < 400e-6, "some 30 µs on a quiet machine; this bound only catches a blunder"


def _seconds(by: TokenVerifier, raw: str, times: int = 100) -> float:
    started = time.process_time()
    for _ in range(times):
        by.verify(raw)
    return (time.process_time() - started) / times
