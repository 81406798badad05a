"""A gateway as its container runs it: on an address of its own, gone and back like one."""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from config.testing.gateway import SIGNING_KEY
from config.testing.players import waited_for
from config.testing.program import Program

KEYS = {
    "SECRET_KEY": "a secret key that is used in tests only, and nowhere else",
    "JWT_SIGNING_KEY": SIGNING_KEY,
}


class Node:
    """`manage.py serve` on `host`, with product defaults but for `env`."""

    def __init__(self, name: str, directory: Path, env: Mapping[str, str], *, host: str, port: int) -> None:
        self.name, self.host, self.port = name, host, port
        self.env = {**KEYS, "GATEWAY_HOST": host, "GATEWAY_PORT": str(port), **env}
        self.program = Program(
            [sys.executable, "manage.py", "serve"],
            name=f"{name}-{host}",
            output_path=directory / f"{name}-{host}.log",
            env=self.env,
        )

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port

    async def start(self, *, within_seconds: float = 30) -> None:
        """Start it and wait until it answers /health, as the image's check does."""
        self.program.start()
        await waited_for(lambda: self.answers("/health"), within_seconds=within_seconds)

    async def stop(self, *, within_seconds: float = 90) -> int:
        """SIGTERM, and its exit status."""
        return await asyncio.to_thread(self.program.stop, within_seconds=within_seconds)

    async def answers(self, path: str) -> bool:
        """Whether `path` is answered with 200."""

        def ask() -> bool:
            request = urllib.request.Request(
                f"http://{self.host}:{self.port}{path}", headers={"Host": "localhost"}
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return bool(answer.status == 200)
            except (urllib.error.URLError, OSError):
                return False

        return await asyncio.to_thread(ask)
