"""What a service prints, as JSON too: whatever does not come through logging becomes a line of the same form.

A library's print, a CommandError, a wrong setting, a traceback before logging is set up or after it is gone.
Knows no Django, since it is there before Django is.
"""

from __future__ import annotations

import atexit
import io
import json
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from proxy.core.redaction import redacted


class JsonLines(io.TextIOBase):
    """A text stream that writes one JSON object for each line that it is given. `plain` is where they go."""

    def __init__(self, plain: TextIO, *, name: str, level: str) -> None:
        self.plain = plain
        self._name, self._level = name, level
        self._begun = ""
        self._lock = threading.RLock()  # a signal handler may print while its own thread does

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in filter(str.strip, lines):
                self.say(line.rstrip())
        return len(text)

    def say(self, event: str, **more: str) -> None:
        """Write one object."""
        fields = {"event": event, "logger": self._name, "level": self._level, **more}
        fields["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.plain.write(json.dumps({name: redacted(value) for name, value in fields.items()}) + "\n")
        self.plain.flush()

    def end_line(self) -> None:
        """What was begun is a line, too."""
        if self._begun.strip():
            self.write("\n")

    def flush(self) -> None:
        self.plain.flush()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.plain.fileno()

    def isatty(self) -> bool:
        return False


def speak_json() -> None:
    """From now on all that this process prints is JSON, uncaught exceptions in one object each."""
    # What ends a start (a wrong setting, a CommandError) is told here. What only warns goes through logging.
    errors = JsonLines(sys.stderr, name="stderr", level="error")
    prints = JsonLines(sys.stdout, name="stdout", level="info")
    sys.stderr, sys.stdout = errors, prints
    atexit.register(errors.end_line)
    atexit.register(prints.end_line)

    def say(
        what: str, kind: type[BaseException], error: BaseException | None, where: TracebackType | None
    ) -> None:
        lines = traceback.format_exception(kind, error, where)
        errors.say(what, level="critical", exception="".join(lines))

    def in_thread(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, SystemExit):
            say("uncaught exception in a thread", args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(args: Any) -> None:
        say(args.err_msg or "exception ignored", args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = lambda kind, error, where: say("uncaught exception", kind, error, where)
    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
