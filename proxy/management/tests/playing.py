"""Commands as a shell plays them, in the test's own process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command

# What such a document calls each exit code.
FAILURES = {1: "failed", 2: "not_tried"}


@dataclass(frozen=True, slots=True)
class Played:
    """What a command wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The document on stdout. Raises ValueError where that is anything else."""
        return json.loads(self.out)

    @property
    def failure(self) -> str:
        """The code of the document that says why nothing came of it, in the words of stderr's last line."""
        told = self.told
        assert set(told) == {"code", "message"}
        assert self.err.splitlines()[-1] == f"CommandError: {told['message']}"
        return str(told["code"])


def play(*words: str) -> Played:
    """As `manage.py` plays it: a failure is one line on stderr, and a code."""
    out, err, code = StringIO(), StringIO(), 0
    try:
        call_command(*words, stdout=out, stderr=err, no_color=True)
    except CommandError as error:
        err.write(f"CommandError: {error}\n")
        code = error.returncode
    except SystemExit as ended:
        code = int(ended.code or 0)
    return Played(code, out.getvalue(), err.getvalue())


def keys_of(told: Any) -> set[str]:
    """All names in a document, but those that stand for data: causes, routes, and so on."""
    if isinstance(told, Mapping):
        inner = (keys_of(value) for name, value in told.items() if name not in _BY_DATA)
        return set(told).union(*inner)
    if isinstance(told, list | tuple):
        return set().union(*map(keys_of, told))
    return set()


_BY_DATA = {"by_cause", "opens", "closes", "deleted"}
