"""The real service as a real process, for tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from django.conf import settings

from config.testing.program import Program
from config.testing.starts import run


def issue(user_id: str, *, minutes: float = 10, key: str = "", **claims: Any) -> str:
    """A token for `user_id`, signed as the settings say; `key` makes it a forgery."""
    payload = {"sub": user_id, "exp": int(time.time() + minutes * 60), "token_type": "access", **claims}
    return jwt.encode(payload, key or settings.JWT_SIGNING_KEY, algorithm=settings.JWT_ALGORITHM)


def environment(database_url: str, **extra: str) -> dict[str, str]:
    """What the service runs with: the product's settings, the tests' secret, a database of its own."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": database_url,
        "LOG_LEVEL": "DEBUG",
        **extra,
    }


def manage(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command of manage.py to its end."""
    return run([sys.executable, "manage.py", *arguments], env=env)


class KbProgram(Program):
    """`manage.py kbservice` on a free port; `address` is its `host:port`."""

    def __init__(self, output_path: Path, env: Mapping[str, str]) -> None:
        command = [sys.executable, "manage.py", "kbservice", "--port", "0"]
        super().__init__(command, name="kb", output_path=output_path, env=env)
        self.address = ""

    def start(self) -> None:
        super().start()
        self.address = self.wait_for_output(r'"addresses": \["([^"]+)"').group(1)

    def url(self, token: str, experience: str = "wylding-woods") -> str:
        query = urlencode({"token": token, "experience": experience})
        return f"ws://{self.address}/ws/experience?{query}"


@contextmanager
def running_kb(directory: Path, env: Mapping[str, str]) -> Iterator[KbProgram]:
    """A service for the length of the context. It must end in good order."""
    kb = KbProgram(directory / f"kb-{time.monotonic_ns()}.log", env)
    try:
        kb.start()
        yield kb
        if kb.running:
            assert kb.stop(number=signal.SIGTERM) == 0, kb.tail()
    finally:
        kb.kill()
