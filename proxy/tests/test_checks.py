import ipaddress
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.core.checks.registry import registry

from proxy.bridges import bridge as bridges
from proxy.checks import doors, routing, running, start, tokens
from proxy.core.origins import OriginPattern
from proxy.core.routes import Route, Upstream
from proxy.registry import routes as all_routes

Ask = Callable[..., list[CheckMessage]]

GOOD: dict[str, Any] = {
    "DEBUG": False,
    "SECRET_KEY": "s" * 64,
    "ROUTES": ("experience.routes.ROUTES", "config.tests.bare_route.ROUTE"),
    "JWT_ALGORITHM": "HS256",
    "JWT_SIGNING_KEY": "k" * 32,
    "JWT_JWKS_URL": "",
    "JWT_AUDIENCE": "",
    "ALLOWED_ORIGINS": (OriginPattern.parse("https://*.example.com"),),
    "HTTPS_ONLY": True,
    "TRUSTS_UNIX_SOCKET": False,
    "METRICS_TOKEN": "m" * 32,
    "TRUSTED_PROXIES": (ipaddress.ip_network("10.0.0.0/8"),),
    "CHANNEL_LAYERS": {"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer"}},
    "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
    "GATEWAY_HOST": "0.0.0.0",
    "ALLOWED_HOSTS": ["gateway.example.com"],
    "REDIS_URL": "redis://valkey",
    "WEBSOCKET_ENABLED": True,
    "MAX_CONNECTIONS": 1000,
    "DRAIN_SECONDS": 30.0,
    "JWT_LEEWAY_SECONDS": 0,
    "RECORD_RETENTION_DAYS": 30,
}
POSTGRES, READ_WRITE = "django.db.backends.postgresql", {"target_session_attrs": "read-write"}
ROUTE = Route(name="chat", paths=("ws/chat",), upstream=Upstream.of("chat", "ws://127.0.0.1:1"))
JWKS = {"JWT_ALGORITHM": "RS256", "JWT_SIGNING_KEY": "", "JWT_AUDIENCE": "gateway"}


@pytest.fixture
def gateway_checks(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks the registered checks of the gateway about GOOD settings with some changes; all is configured."""
    configured = tuple(each for each in all_routes() if not getattr(each.upstream, "setting", ""))
    monkeypatch.setattr("proxy.registry.routes", lambda: configured)

    def ask(*, deploy: bool = True, **changes: Any) -> list[CheckMessage]:
        told = SimpleNamespace(**{**GOOD, **changes})
        for module in (doors, routing, running, start, tokens):
            if hasattr(module, "settings"):
                monkeypatch.setattr(module, "settings", told)
        registered = registry.get_checks(include_deployment_checks=deploy)
        return [
            message
            for check in registered
            if check.__module__.startswith("proxy.checks.")
            for message in check(app_configs=None, databases=None)
        ]

    return ask


def test_a_good_production_environment_has_nothing_to_say(gateway_checks: Ask) -> None:
    assert gateway_checks() == []


@pytest.mark.parametrize(
    ("changes", "identity"),
    [
        ({"JWT_SIGNING_KEY": "k" * 31}, "gateway.E001"),
        ({"JWT_SIGNING_KEY": "k" * 31, "DEBUG": True, "GATEWAY_HOST": "::1"}, "gateway.W001"),
        ({"JWT_SIGNING_KEY": "k" * 63, "JWT_ALGORITHM": "HS512"}, "gateway.E001"),
        ({"JWT_SIGNING_KEY": GOOD["SECRET_KEY"]}, "gateway.W002"),
        ({"ALLOWED_ORIGINS": (OriginPattern.parse("*"),)}, "gateway.W003"),
        ({"TRUSTED_PROXIES": (ipaddress.ip_network("0.0.0.0/0"),)}, "gateway.W004"),
        ({"TRUSTED_PROXIES": (ipaddress.ip_network("::/0"),)}, "gateway.W004"),
        ({"TRUSTED_PROXIES": (ipaddress.ip_network("128.0.0.0/1"),)}, "gateway.W004"),
        ({"ALLOWED_ORIGINS": (OriginPattern.parse("null"),)}, "gateway.W003"),
        ({"DEBUG": True}, "gateway.E002"),
        ({"DEBUG": True, "ALLOWED_HOSTS": ["localhost", "[::1]"]}, "gateway.W016"),
        ({"ALLOWED_HOSTS": ["*"]}, "gateway.W017"),
        ({"ALLOWED_HOSTS": ["localhost", "127.0.0.1"]}, "gateway.W018"),
        ({"MAX_CONNECTIONS": 200}, "gateway.W020"),
        ({"DRAIN_SECONDS": 51.0}, "gateway.W021"),
        ({"JWT_LEEWAY_SECONDS": 301.0}, "gateway.W022"),
        ({"WEBSOCKET_ENABLED": False}, "gateway.W023"),
        ({"HTTPS_ONLY": False, "TRUSTED_PROXIES": ()}, "gateway.W026"),
        ({"DATABASES": {"default": {"ENGINE": POSTGRES, "HOST": "a,b"}}}, "gateway.W024"),
        ({"DATABASES": {"default": {"ENGINE": POSTGRES, "OPTIONS": {"host": "a,b"}}}}, "gateway.W024"),
        ({"RECORD_RETENTION_DAYS": 0}, "gateway.I004"),
        ({**JWKS, "JWT_SIGNING_KEY": "a private key"}, "gateway.I005"),
        ({**JWKS, "JWT_JWKS_URL": "http://id.example.com/keys"}, "gateway.W005"),
        ({**JWKS, "JWT_JWKS_URL": "https://id.example.com/keys", "JWT_AUDIENCE": ""}, "gateway.W006"),
        ({"METRICS_TOKEN": ""}, "gateway.W007"),
        ({"TRUSTED_PROXIES": ()}, "gateway.W008"),
        (
            {"CHANNEL_LAYERS": {"default": {"BACKEND": "proxy.cluster.memory_layer.MemoryChannelLayer"}}},
            "gateway.I001",
        ),
        ({"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}}, "gateway.I002"),
    ],
)
def test_what_should_not_be_left_so_is_named_with_a_hint(
    gateway_checks: Ask, changes: dict[str, Any], identity: str
) -> None:
    found = gateway_checks(**changes)
    assert [message.id for message in found] == [identity]
    assert found[0].hint
    assert str(changes.get("JWT_SIGNING_KEY") or "-none-") not in str(found[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"JWT_SIGNING_KEY": "k" * 64, "JWT_ALGORITHM": "HS512"},
        {**JWKS, "JWT_JWKS_URL": "https://id.example.com/keys"},
        {**JWKS, "JWT_JWKS_URL": "http://127.0.0.1:8002/keys"},
        {**JWKS, "JWT_JWKS_URL": "http://localhost:8002/keys"},
        {"ALLOWED_ORIGINS": ()},
        {"DEBUG": True, "HTTPS_ONLY": False, "GATEWAY_HOST": "127.0.0.1"},
        {"TRUSTED_PROXIES": (), "TRUSTS_UNIX_SOCKET": True},
        {"TRUSTED_PROXIES": (ipaddress.ip_network("104.16.0.0/13"), ipaddress.ip_network("fc00::/7"))},
        {"DEBUG": True, "GATEWAY_HOST": "127.0.0.1", "ALLOWED_HOSTS": [".test"]},
        {"ALLOWED_HOSTS": ["localhost"], "GATEWAY_HOST": "::1"},
        {"DATABASES": {"default": {"ENGINE": POSTGRES, "HOST": "a,b", "OPTIONS": READ_WRITE}}},
    ],
)
def test_what_is_fine_is_not_warned_of(gateway_checks: Ask, changes: dict[str, Any]) -> None:
    assert gateway_checks(**changes) == []


@pytest.mark.parametrize(
    ("changes", "identity"),
    [({"paths": ("/ws",)}, "gateway.W011"), ({"upstream": Upstream.of("chat")}, "gateway.W012")],
)
def test_a_route_that_serves_nobody_is_named(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], identity: str
) -> None:
    routes = (replace(ROUTE, **changes),)
    monkeypatch.setattr("proxy.registry.routes", lambda: routes)
    [found] = gateway_checks(deploy=False)
    assert (found.id, "'chat'" in found.msg) == (identity, True)


def test_a_path_that_a_route_before_takes_is_named(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = replace(ROUTE, name="agents", paths=("<slug:agent>/ws/<slug:session>",))
    lobby = replace(ROUTE, name="lobby", paths=("lobby/ws/one", "lobby/ws"))
    monkeypatch.setattr("proxy.registry.routes", lambda: (agents, lobby))
    [found] = gateway_checks(deploy=False)
    assert (found.id, "'lobby/ws/one' of the route 'lobby'" in found.msg) == ("gateway.W025", True)
    monkeypatch.setattr("proxy.registry.routes", lambda: (lobby, agents))
    assert gateway_checks(deploy=False) == []


@pytest.mark.parametrize(("workers", "identities"), [(1, []), (2, ["gateway.E003"])])
def test_workers_without_redis_are_an_error_of_that_start(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch, workers: int, identities: list[str]
) -> None:
    monkeypatch.setattr(start, "_told", [start.Start(host=None, workers=workers)])
    # Of a socket that was inherited, nobody knows who reaches it: nothing is said of DEBUG.
    found = gateway_checks(REDIS_URL="", DEBUG=True, ALLOWED_HOSTS=["localhost"])
    assert [each.id for each in found] == identities


@pytest.mark.parametrize(
    ("files", "identity"), [(901, "gateway.E004"), (902, "gateway.W019"), (2699, "gateway.W019"), (2700, "")]
)
def test_too_few_files_are_told_with_how_many_are_due(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch, files: int, identity: str
) -> None:
    monkeypatch.setattr("proxy.server.listening.most_files", lambda: files)
    found = gateway_checks(MAX_CONNECTIONS=900)
    assert [each.id for each in found] == ([identity] if identity else [])
    assert all("Raise the hard limit to 2700:" in str(each.hint) for each in found)


def test_a_route_that_nobody_configured_is_no_mistake(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = (replace(ROUTE, upstream=Upstream.of("chat", setting="CHAT_SERVICE_URL")),)
    monkeypatch.setattr("proxy.registry.routes", lambda: routes)
    assert gateway_checks(deploy=False) == []
    [found] = gateway_checks()
    assert (found.id, found.msg.partition(":")[0]) == ("gateway.I003", "CHAT_SERVICE_URL is unset")


@pytest.mark.parametrize("package", ["modelled", "company.modelled_too"])
def test_a_package_of_routes_with_models_that_is_no_app_is_named(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    folder = tmp_path / package.replace(".", "/")
    folder.mkdir(parents=True)
    for name in ("__init__.py", "models.py", "routes.py"):
        (folder / name).touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    [found] = gateway_checks(deploy=False, ROUTES=(f"{package}.routes.ONE", f"{package}.routes.TWO"))
    assert (found.id, f"into {package}, which" in found.msg) == ("gateway.W013", True)


def test_a_bridge_to_what_nobody_hears_is_named(gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridges, "_leads", {"nats": bridges.Leads({"user", "everyone", "nobodys"})})
    [found] = gateway_checks(deploy=False)
    assert (found.id, "'nats' leads to topics of the kind 'nobodys'" in found.msg) == ("gateway.W014", True)


def test_a_bridge_from_a_redis_that_is_not_there_is_named(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridges, "_leads", {"redis": bridges.Leads({"user"}, needs_redis=True)})
    [found] = gateway_checks(deploy=False, REDIS_URL="")
    assert (found.id, "'redis' comes from the gateway's Redis" in found.msg) == ("gateway.W015", True)
    assert gateway_checks(deploy=False, REDIS_URL="redis://127.0.0.1:6379") == []


def test_routes_in_a_module_of_their_own_are_fine(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lone_routes.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert gateway_checks(deploy=False, ROUTES=("lone_routes.ROUTES",)) == []
    assert gateway_checks(deploy=False, ROUTES=("nowhere.routes.ROUTES",)) == [], "that, others say"


def test_a_variable_that_nothing_reads_is_named_with_the_one_that_is_meant(
    gateway_checks: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_WS_URL", "ws://a:1")
    monkeypatch.setenv("KB_URL", "http://b:1")  # what others call it
    found = {str(message.msg).split()[0]: message for message in gateway_checks()}
    assert {message.id for message in found.values()} == {"gateway.W010"}
    assert {name: message.hint for name, message in found.items()} == {
        "STUDIO_WS_URL": "Is STUDIO_WS_URLS meant?",
        "KB_URL": "Is KB_SERVICE_URL meant?",
    }


def test_a_short_key_is_found_without_asking_for_deployment_checks(gateway_checks: Ask) -> None:
    found = gateway_checks(deploy=False, JWT_SIGNING_KEY="short")
    assert [message.id for message in found] == ["gateway.E001"]


def test_without_an_audience_the_check_says_which_tokens_are_refused_and_which_are_taken(
    gateway_checks: Ask,
) -> None:
    [found] = gateway_checks(**JWKS | {"JWT_JWKS_URL": "https://id.example.com/keys", "JWT_AUDIENCE": ""})
    assert "tokens with `aud` are refused" in found.msg
    assert "all others of the issuer are accepted" in found.msg
