"""A token issuer for tests: real keys, served over real HTTP, that can be rotated and taken away."""

from __future__ import annotations

import http.server
import threading
from typing import Any

import jwt

from proxy.tests.tokens import PRIVATE, claims, jwk, key_set, pem_pair


class Issuer:
    """Signs tokens with its newest key, and publishes `keys` (ids) at `url`. `calls` counts its readers.

    Whoever reads it waits for as long as `answers` is not set.
    """

    def __init__(self, algorithm: str = "RS256") -> None:
        self.algorithm, self.calls = algorithm, 0
        self.serials = [0]
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        issuer = self

        class Endpoint(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.calls += 1
                issuer.answers.wait(timeout=60)
                self.send_response(issuer.status)
                self.end_headers()
                self.wfile.write(issuer.key_set())

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"

    def key_set(self) -> bytes:
        return key_set(*(jwk(self.algorithm, f"k{n}", n) for n in self.serials))

    def rotate(self, *, keep: bool = True) -> None:
        """A new key signs from now on; without `keep`, the old ones are gone."""
        self.serials = [*(self.serials if keep else []), self.serials[-1] + 1]

    def token(
        self, user: str = "42", *, serial: int | None = None, kid: str | None = None, **more: Any
    ) -> str:
        serial = self.serials[-1] if serial is None else serial
        private = pem_pair(self.algorithm, serial)[PRIVATE]
        headers = {"kid": kid or f"k{serial}"}
        return jwt.encode(claims(sub=user, **more), private, algorithm=self.algorithm, headers=headers)

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
