"""Several instances of the reference studio service, as processes that can be killed."""

from __future__ import annotations

import sys
import urllib.request
from pathlib import Path

from config.testing.program import Program, free_port

INSTANCES = 3


class StudioInstance:
    """One instance: `name`, `url`, and the program, to be killed and started again on the same port."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.port = name, free_port()
        self.url = f"ws://127.0.0.1:{self.port}"
        self.program = Program(
            [sys.executable, "manage.py", "studioservice", "--port", str(self.port), "--instance", name],
            name=name,
            output_path=directory / f"{name}.log",
            env={"SECRET_KEY": "a secret key that is used in tests only, and nowhere else"},
        )

    def start(self) -> None:
        self.program.start()
        self.program.wait_for_port(self.port)

    def ensure_running(self) -> None:
        if not self.program.running:
            self.start()

    def is_idle(self) -> bool:
        """Whether it runs, serves and has no client left, as when it has just been started."""
        if not self.program.running:
            return False
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                return bool(answer.read().endswith(b": 0 sockets\n"))
        except OSError:
            return False
