"""The real service as a real process, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 20.0


def issue(user_id: str, *, minutes: float = 10, key: str = "", **claims: Any) -> str:
    """A token for `user_id`, signed as the settings say; `key` makes it a forgery."""
    payload = {"sub": user_id, "exp": int(time.time() + minutes * 60), "token_type": "access", **claims}
    return jwt.encode(payload, key or settings.JWT_SIGNING_KEY, algorithm=settings.JWT_ALGORITHM)


def environment(database: Path, **extra: str) -> dict[str, str]:
    """What the processes run with: production settings, the tests' secret, a database of their own."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{database}",
        "LOG_LEVEL": "DEBUG",
        **extra,
    }


def manage(*arguments: str, env: dict[str, str]) -> None:
    """Run one command of manage.py to its end."""
    subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, check=True, timeout=DEADLINE_SECONDS
    )


class KbProcess:
    """`manage.py kbservice` on a free port. `logs` grows with every line that it writes."""

    def __init__(self, env: dict[str, str]) -> None:
        self.logs: list[str] = []
        self._listening = threading.Event()
        self.address = ""
        command = [sys.executable, "manage.py", "kbservice", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read_logs, daemon=True)
        self._reader.start()
        if not self._listening.wait(DEADLINE_SECONDS) or not self.address:
            self.process.kill()
            raise RuntimeError("the KB did not start:\n" + "\n".join(self.logs))

    def _read_logs(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.logs.append(line.rstrip())
            if '"listening"' in line:
                self.address = json.loads(line)["addresses"][0]
                self._listening.set()
        self._listening.set()

    def url(self, token: str, experience: str = "wylding-woods") -> str:
        query = urlencode({"token": token, "experience": experience})
        return f"ws://{self.address}/ws/experience?{query}"

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Signal the process and answer its exit code."""
        self.process.send_signal(signal_number)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(DEADLINE_SECONDS)
        finally:
            self.process.kill()
            self._reader.join(DEADLINE_SECONDS)
            if self.process.stderr is not None:
                self.process.stderr.close()


@contextmanager
def running_kb(env: dict[str, str]) -> Iterator[KbProcess]:
    kb = KbProcess(env)
    try:
        yield kb
    finally:
        if kb.process.poll() is None:
            kb.stop()
        else:
            kb.wait()
