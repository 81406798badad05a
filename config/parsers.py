"""What the gateway's own settings take: each parser raises ValueError for the wrong text of one value."""

from __future__ import annotations

import ipaddress
import re
from importlib.util import find_spec
from urllib.parse import urlsplit

from proxy.core.blocking import parse_network
from proxy.core.origins import OriginPattern
from proxy.core.webhooks import secret_key
from proxy.env import Env, SettingError, text_if

_HOST = re.compile(r"\.?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]|\*")
_STORES = {"postgres", "postgresql", "redis", "rediss"}
_QUOTED = "/ as %2F, ? as %3F, # as %23, @ as %40"
# RFC 7519, section 4.1, but for `sub`, and simplejwt's: the same for many users, or another with each token.
NOBODYS_CLAIMS = ("exp", "nbf", "iat", "jti", "iss", "aud", "token_type")
# What of a Django user takes its tokens back (proxy/cluster/user_changes.py).
CHANGES_OF_USERS = ("deactivated", "deleted", "password", "permission", "logout")
# What stands beside a secret in messages that staff look at (proxy/core/secrets_in_text.py).
NAMES_OF_SECRETS = (
    *("token", "password", "passwd", "pwd", "passphrase", "passcode", "secret", "authorization"),
    *(
        "credential",
        "cookie",
        "session_key",
        "session_id",
        "api_key",
        "access_key",
        "private_key",
        "signature",
        "ticket",
    ),
    *("jwt", "bearer", "otp", "cvv", "card_number"),
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

host_pattern = text_if(_HOST.fullmatch)  # as Django's ALLOWED_HOSTS takes them
site = text_if(lambda word: OriginPattern.parse(word).origin)  # as Django's CSRF_TRUSTED_ORIGINS takes them
long_token = text_if(lambda raw: len(raw) >= 16)
change_of_user = text_if(lambda word: word in {*CHANGES_OF_USERS, "none"})
name_of_secret = text_if(lambda word: sum(map(str.isalnum, word)) >= 2)
users_claim = text_if(lambda raw: raw not in NOBODYS_CLAIMS)
start_of_path = text_if(re.compile(r"/[A-Za-z0-9._~%/-]*").fullmatch)
dotted_path = text_if(re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+").fullmatch)


def host(raw: str) -> str:
    """A host name or an address to listen on."""
    if ":" in raw:
        return str(ipaddress.IPv6Address(raw.strip("[]")))
    if raw[0] in ".*":
        raise ValueError("a pattern of host names")
    return host_pattern(raw)


def read_host(env: Env, default: str) -> str:
    """GATEWAY_HOST; `default` while that is unset."""
    expected = "a host name or an address, without scheme and port"
    return env.read("GATEWAY_HOST", default, host, expected=expected)


def peer(word: str) -> Network | None:
    """A network; None for the word `unix`."""
    return None if word == "unix" else parse_network(word)


def is_package(name: str) -> bool:
    """A package that can be imported: it is looked for, but not imported."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # of a package around it; of no name at all
        return False
    return spec is not None and spec.submodule_search_locations is not None


package = text_if(is_package)


def read_url(env: Env, name: str, schemes: tuple[str, ...], *, host: bool = True) -> str:
    """A URL of one of `schemes`, with a host if `host`. It may hold credentials, so it is never shown."""
    expected = f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"

    def parse(raw: str) -> str:
        if _has_bare_password(raw):
            raise SettingError(name, f"{expected}, with {_QUOTED} in a password")
        parts = urlsplit(raw)
        _ = parts.port  # raises ValueError when it is no port number
        if parts.scheme not in schemes or (host and not parts.hostname) or not (parts.netloc + parts.path):
            raise ValueError
        return raw

    return env.secret(name, parse=parse, expected=expected)


def traces_endpoint(env: Env) -> str:
    """Where spans go by OTLP over HTTP, by the standard variables; "" where they go nowhere."""
    name, own_name = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    of_all, own = (read_url(env, each, ("http", "https")) for each in (name, own_name))
    endpoint = own or (of_all and f"{of_all.rstrip('/')}/v1/traces")
    if endpoint and not is_package("opentelemetry.exporter.otlp.proto.http"):
        raise SettingError(own_name if own else name, "unset, or requirements/otel.txt installed")
    return endpoint


def webhook(env: Env) -> tuple[str, bytes]:
    """Where events of the gateway go, and the key that they are signed with; "" where they go nowhere."""
    url = read_url(env, "WEBHOOK_URL", ("http", "https"))
    expected = "whsec_ and 24 to 64 bytes in base64, to sign with what WEBHOOK_URL is sent"
    key = env.read("WEBHOOK_SECRET", b"", secret_key, expected=expected, secret=True)
    if url and not key:
        raise SettingError("WEBHOOK_SECRET", expected)
    return url, key


def _has_bare_password(url: str) -> bool:
    """Whether a `/`, `?` or `#` of a password ends the host's part of a store's URL before its `@`."""
    scheme, _, rest = url.partition("://")
    if scheme not in _STORES:
        return False
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    beyond = rest[len(authority) :]
    if "@" in authority or "@" not in beyond:
        return False
    has_port = re.fullmatch(r".*:\d*|[^:]*", authority) is not None
    return not has_port or beyond[0] in "?#" or "@" in beyond.partition("?")[0]
