"""What nginx and HAProxy themselves have to say of deploy/proxies, and that each thing stands there once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from config.testing.certificates import write_self_signed
from config.testing.compose import SERVICES
from config.testing.front import NGINX_DIR, replaced
from config.testing.proxies import DEBIANS_NGINX, HAPROXY, HAPROXY_CFG
from config.testing.starts import BASE_DIR
from config.tests.fronts.conftest import needs


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "tls.pem"
    write_self_signed(path)
    return path


@needs(DEBIANS_NGINX, "nginx-light")
def test_debians_nginx_has_nothing_to_say_of_its_file(tmp_path: Path, certificate: Path) -> None:
    """As it is but for the certificate, and where it writes, which a user other than root may not."""
    moved = (NGINX_DIR / "nginx.conf").read_text().replace("/run/nginx.pid", f"{tmp_path}/pid")
    moved = re.sub(r"/etc/sluicegate/tls\.\w+", str(certificate), moved)
    path = tmp_path / "nginx.conf"
    path.write_text(moved.replace("/var/log/nginx/", f"{tmp_path}/"))
    (tmp_path / "gateways.conf").write_text((NGINX_DIR / "gateways.conf").read_text())
    tried = subprocess.run(
        [DEBIANS_NGINX, "-t", "-q", "-c", path], capture_output=True, text=True, check=False
    )
    of_root = ('"user" directive makes sense only', "bind() to 0.0.0.0:")
    said = [line for line in tried.stderr.splitlines() if not any(words in line for words in of_root)]
    assert said == []


@needs(HAPROXY, "haproxy")
def test_haproxy_has_nothing_to_say_of_its_file(tmp_path: Path, certificate: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(replaced(HAPROXY_CFG.read_text(), "/etc/sluicegate/tls.pem", str(certificate)))
    tried = subprocess.run([HAPROXY, "-c", "-q", "-f", path], capture_output=True, text=True, check=False)
    assert (tried.returncode, tried.stdout + tried.stderr) == (0, "")


def test_what_both_nginx_are_told_stands_once() -> None:
    """They differ in where they write, whose word counts, where gateways are and where they listen."""
    shared = directives("gateways.conf")
    assert len(shared) > 20
    for name in ("nginx.conf", "compose.conf"):
        assert "include gateways.conf;" in directives(name)
        assert shared & directives(name) == set()
        assert sorted(re.findall(r"location .*", (NGINX_DIR / name).read_text())) == [
            "location / { proxy_pass http://gateways; }",
            "location = /metrics { return 404; } # scrape each gateway by itself, from inside",
        ]


def directives(name: str) -> set[str]:
    lines = map(str.strip, (NGINX_DIR / name).read_text().splitlines())
    return {line for line in lines if line and not line.startswith(("#", "}"))}


def test_compose_starts_nginx_with_files_that_are_there() -> None:
    nginx = SERVICES["nginx"]
    source, target, _ = nginx["volumes"][0].split(":")
    conf = nginx["entrypoint"][nginx["entrypoint"].index("-c") + 1]
    assert conf == f"{target}/compose.conf"
    assert (BASE_DIR / source).resolve() == NGINX_DIR
