"""The files and labels for Traefik, key by key. No Traefik runs here: none comes as a package or a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from config.testing import documents
from config.testing.compose import COMPOSE, SERVICES
from config.testing.front import NGINX_DIR
from config.testing.starts import BASE_DIR

Table = Mapping[str, Mapping[str, Any]]

TRAEFIK_DIR = BASE_DIR / "deploy" / "proxies" / "traefik"
STATIC = yaml.safe_load((TRAEFIK_DIR / "traefik.yml").read_text())
SHARED = yaml.safe_load((TRAEFIK_DIR / "dynamic" / "shared.yml").read_text())
NODES = yaml.safe_load((TRAEFIK_DIR / "dynamic" / "nodes.yml").read_text())
OVERLAY = yaml.safe_load((TRAEFIK_DIR / "compose.yml").read_text())

# Every key that we use, as the pages below https://doc.traefik.io/traefik/ have them for 3.7, with
# the kind of its value; * is a name of ours, [] an item of a list.
INSTALL: Table = {
    "reference/install-configuration/entrypoints/": {
        "entryPoints.*.address": str,
        "entryPoints.*.http.redirections.entryPoint.to": str,
        "entryPoints.*.http.redirections.entryPoint.scheme": str,
        "entryPoints.*.http.maxHeaderBytes": int,
    },
    "reference/install-configuration/providers/others/file/": {"providers.file.directory": str},
    "reference/install-configuration/providers/docker/": {"providers.docker.exposedByDefault": bool},
    "reference/install-configuration/observability/logs-and-accesslogs/": {
        "log.level": str,
        "accessLog.format": str,
        "accessLog.fields.defaultMode": str,
        "accessLog.fields.names.*": str,
        "accessLog.fields.headers.defaultMode": str,
    },
    "contributing/data-collection/": {"global.checkNewVersion": bool, "global.sendAnonymousUsage": bool},
}
ROUTING: Table = {
    "reference/routing-configuration/http/routing/router/": {
        "http.routers.*.rule": str,
        "http.routers.*.entryPoints[]": str,
        "http.routers.*.middlewares[]": str,
        "http.routers.*.service": str,
        "http.routers.*.tls": dict,
    },
    "reference/routing-configuration/http/load-balancing/service/": {
        "http.services.*.failover.service": str,
        "http.services.*.failover.fallback": str,
        "http.services.*.loadBalancer.servers[].url": str,
        "http.services.*.loadBalancer.serversTransport": str,
        "http.services.*.loadBalancer.healthCheck.path": str,
        "http.services.*.loadBalancer.healthCheck.interval": str,
        "http.services.*.loadBalancer.healthCheck.timeout": str,
    },
    "reference/routing-configuration/http/load-balancing/serverstransport/": {
        "http.serversTransports.*.forwardingTimeouts.dialTimeout": str,
        "http.serversTransports.*.forwardingTimeouts.responseHeaderTimeout": str,
        "http.serversTransports.*.forwardingTimeouts.idleConnTimeout": str,
    },
    "reference/routing-configuration/http/middlewares/chain/": {
        "http.middlewares.*.chain.middlewares[]": str
    },
    "reference/routing-configuration/http/middlewares/retry/": {
        "http.middlewares.*.retry.attempts": int,
        "http.middlewares.*.retry.status[]": str,
    },
    "reference/routing-configuration/http/middlewares/headers/": {
        "http.middlewares.*.headers.customRequestHeaders.*": str
    },
    "reference/routing-configuration/http/tls/tls-certificates/": {
        "tls.certificates[].certFile": str,
        "tls.certificates[].keyFile": str,
    },
    "reference/routing-configuration/http/tls/tls-options/": {
        "tls.options.*.minVersion": str,
        "tls.options.*.alpnProtocols[]": str,
    },
}
LABELS: Table = {
    "reference/routing-configuration/other-providers/docker/": {
        "traefik.enable": "true|false",
        "traefik.http.routers.*.rule": ".+",
        "traefik.http.routers.*.entryPoints": r"\w+",
        "traefik.http.routers.*.middlewares": r"[\w-]+@file",
        "traefik.http.routers.*.tls": "true|false",
        "traefik.http.services.*.loadBalancer.server.port": r"\d+",
        "traefik.http.services.*.loadBalancer.serversTransport": r"[\w-]+@file",
        "traefik.http.services.*.loadBalancer.healthCheck.path": r"/\w+",
        "traefik.http.services.*.loadBalancer.healthCheck.interval": r"\d+s",
        "traefik.http.services.*.loadBalancer.healthCheck.timeout": r"\d+s",
    },
}


def leaves(there: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a file and the keys that lead to it."""
    if isinstance(there, Mapping) and there:
        for key, value in there.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(there, list):
        for item in there:
            yield from leaves(item, f"{path}[]")
    else:
        yield path, there


def known(table: Table) -> list[tuple[re.Pattern[str], Any]]:
    keys = [item for page in table.values() for item in page.items()]
    return [(re.compile(re.escape(key).replace(r"\*", r"[\w-]+")), kind) for key, kind in keys]


def kind_of(path: str, table: Table) -> Any:
    kinds = [kind for pattern, kind in known(table) if pattern.fullmatch(path)]
    assert kinds, f"Traefik has no key {path}, as far as the table goes"
    return kinds[0]


def test_the_files_hold_keys_of_traefik_alone() -> None:
    for document, table in ((STATIC, INSTALL), (SHARED, ROUTING), (NODES, ROUTING)):
        found = list(leaves(document))
        assert len(found) > 5
        for path, value in found:
            assert type(value) is kind_of(path, table), path


def test_the_labels_are_of_traefik_alone_and_the_same_on_each_gateway() -> None:
    one, other = (OVERLAY["services"][name]["labels"] for name in ("gateway-1", "gateway-2"))
    assert one == other
    for key, value in one.items():
        assert re.fullmatch(kind_of(key, LABELS), value), key


def test_every_key_of_the_table_is_used() -> None:
    """So that a page beside which nothing stands any more does not stay."""
    used = [path for document in (STATIC, SHARED, NODES) for path, _ in leaves(document)]
    used += OVERLAY["services"]["gateway-1"]["labels"]
    for table in (INSTALL, ROUTING, LABELS):
        for pattern, _ in known(table):
            assert any(pattern.fullmatch(path) for path in used), pattern.pattern


def test_what_is_named_is_there() -> None:
    http, shared = NODES["http"], SHARED["http"]
    services, middlewares = http["services"], shared["middlewares"]
    for router in http["routers"].values():
        assert set(router["entryPoints"]) <= set(STATIC["entryPoints"])
        assert set(router["middlewares"]) <= set(middlewares)
        assert router["service"] in services
    assert set(services["gateways"]["failover"].values()) <= set(services)
    for name in ("gateways-ready", "gateways-as-they-are"):
        assert services[name]["loadBalancer"]["serversTransport"] in shared["serversTransports"]
    assert set(middlewares["gateways"]["chain"]["middlewares"]) <= set(middlewares)
    labels = OVERLAY["services"]["gateway-1"]["labels"]
    assert labels["traefik.http.routers.gateways.middlewares"] == "gateways@file"
    assert labels["traefik.http.services.gateways.loadBalancer.serversTransport"] == "gateways@file"
    assert labels["traefik.http.routers.gateways.entryPoints"] in STATIC["entryPoints"]
    assert labels["traefik.http.routers.gateways.rule"] == http["routers"]["gateways"]["rule"]


def test_the_gateways_are_those_of_the_other_proxies() -> None:
    services = NODES["http"]["services"]
    each = [services[name]["loadBalancer"]["servers"] for name in ("gateways-ready", "gateways-as-they-are")]
    of_nginx = re.findall(r"^\s*server (\S+) max_fails=0;", (NGINX_DIR / "nginx.conf").read_text(), re.M)

    assert each[0] == each[1] == [{"url": f"http://{address}"} for address in of_nginx]


def test_no_log_of_traefik_can_hold_a_token() -> None:
    """Its access log writes what is named alone, and at DEBUG its own log would hold whole URLs."""
    fields = STATIC["accessLog"]["fields"]
    assert (fields["defaultMode"], fields["headers"]["defaultMode"]) == ("drop", "drop")
    assert {"RequestPath", "RequestLine", "RequestAddr"} & set(fields["names"]) == set()
    assert STATIC["log"]["level"] in {"INFO", "WARN", "ERROR"}


def test_in_compose_it_takes_the_place_and_the_address_of_nginx() -> None:
    services = OVERLAY["services"]
    traefik = services["traefik"]
    assert services["nginx"]["profiles"]  # so that it is not started
    assert traefik["networks"] == SERVICES["nginx"]["networks"]
    assert set(services) - {"traefik"} <= set(COMPOSE["services"])
    assert set(traefik["depends_on"]) == {"gateway-1", "gateway-2"}
    assert (traefik["read_only"], traefik["cap_drop"]) == (True, ["ALL"])
    mounted = [volume.split(":")[0] for volume in traefik["volumes"] if volume.startswith("./")]
    assert len(mounted) == 2
    assert all((BASE_DIR / path).is_file() for path in mounted)


def test_the_documented_command_names_the_files() -> None:
    files = re.findall(r"--file (\S+)", documents.read("proxies.md"))
    assert files
    assert all((BASE_DIR / name).is_file() for name in files)
