"""A chat whose links are policed, before the service that a test puts at KB_SERVICE_URL."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from experience import settings
from proxy.api import (
    DROP,
    FORWARD,
    Bucket,
    Close,
    Forbidden,
    MessageLimits,
    Policy,
    Rate,
    Route,
    Subject,
    Upstream,
    Verdict,
)

NO_OBJECT = Verdict(forward=False, reply='{"type":"error","message":"A message is a JSON object."}')
TOO_MANY_ERRORS = Verdict(forward=False, close=Close(4400, "too many errors"))


class Manners(Policy):
    """Answers what is no JSON object, says who speaks, and ends a link that makes five errors a minute."""

    def __init__(self, subject: Subject) -> None:
        self._user, self._log = subject.principal.user_id, subject.log
        self._errors = Bucket(Rate(5, 60))

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        said = _object(payload) if is_text else None
        if said is None:
            return self._error()
        if said.get("type") == "typing":
            return DROP
        return Verdict(forward=True, payload=json.dumps(said | {"from": self._user}).encode())

    def _error(self) -> Verdict:
        if self._errors.take(time.monotonic()) == 0.0:
            return NO_OBJECT
        self._log.warning("a link makes too many errors")
        return TOO_MANY_ERRORS


def _object(payload: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(payload)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


class Discreet(Manners):
    """Keeps from clients, too, what services say among themselves."""

    def __init__(self, subject: Subject) -> None:
        if subject.query.get("as") == "nobody":
            raise Forbidden("nobody may not come in")
        super().__init__(subject)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        said = _object(payload) or {}
        if said.get("type") == "internal":
            return Verdict(forward=False, reply='{"type":"noted"}')
        if said.pop("trace", None) is None:
            return FORWARD
        return Verdict(forward=True, payload=json.dumps(said).encode())


class Patient(Policy):
    """Reads no more of who says `rest`, for longer than any test lasts."""

    def __init__(self, _: Subject) -> None:
        """It keeps nothing."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return Verdict(forward=True, pause_seconds=600.0) if payload == b"rest" else FORWARD


POLICED = Route(
    name="policed",
    paths=("policed",),
    upstream=Upstream.of("policed", settings.KB_SERVICE_URL, path="/ws"),
    policy=Discreet,
)
SLOW = replace(
    POLICED,
    name="slow",
    paths=("slow",),
    message_limits=MessageLimits(messages_per_connection=Rate(3, 60)),
)
PATIENT = replace(POLICED, name="patient", paths=("patient",), policy=Patient)
ROUTES = (POLICED, SLOW, PATIENT)
