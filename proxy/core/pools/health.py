"""What active probes say of a member: healthy or not, changed only by several results in a row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.backoff import jittered


class ProbeKind(StrEnum):
    """`websocket`: a handshake, a ping and its pong. `http`: a GET that answers 2xx, 401, 403 or 429.
    `message`: a handshake, a text message and the service's answer to it.
    """

    WEBSOCKET = "websocket"
    HTTP = "http"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How members are probed. While the last probe failed, the next one comes after `failing_seconds`.

    `rise` successes in a row make a member healthy, `fall` failures in a row make it not. `path` is asked for
    in place of the member's own; "" asks for that, and for `default_path` where it has none. An answer later
    than `timeout_seconds` is a failure.

    `says` is the text of a `message`. Its answer is a JSON object that has all members of the object
    `expects`, and may have others; what else the service says is passed over.
    """

    kind: ProbeKind = ProbeKind.WEBSOCKET
    path: str = ""
    default_path: str = "/"
    interval_seconds: float = 30.0
    failing_seconds: float = 2.0
    timeout_seconds: float = 3.0
    rise: int = 2
    fall: int = 3
    jitter_fraction: float = 0.2
    says: str = ""
    expects: str = ""

    @classmethod
    def of(
        cls,
        kind: str,
        *,
        path: str = "",
        seconds: float = 30.0,
        default_path: str = "/",
        timeout_seconds: float = 3.0,
        says: str = "",
        expects: str = "",
    ) -> Probe | None:
        """The probe of a `kind` as settings name it, every so many `seconds`; None for `none`.

        An HTTP probe without a `path` asks for `/health`.
        """
        if kind == "none":
            return None
        return cls(
            kind=ProbeKind(kind),
            path=path or ("/health" if kind == "http" else ""),
            default_path=default_path,
            interval_seconds=seconds,
            failing_seconds=min(2.0, seconds),
            timeout_seconds=timeout_seconds,
            says=says,
            expects=expects,
        )

    def __post_init__(self) -> None:
        if min(self.interval_seconds, self.failing_seconds, self.timeout_seconds) <= 0:
            raise ValueError(f"a probe's times are positive: {self}")
        if self.rise < 1 or self.fall < 1 or not 0 <= self.jitter_fraction < 1:
            raise ValueError(f"rise and fall are 1 or more, jitter is a fraction: {self}")
        if self.kind is ProbeKind.MESSAGE and (not self.says or not _members(self.expects)):
            raise ValueError(f"a probe by message says a text, and expects a JSON object: {self}")

    def is_answer(self, message: str | bytes) -> bool:
        """Whether the service said by it what is expected."""
        if not isinstance(message, str):
            return False
        said, expected = _members(message), _members(self.expects)
        return all(name in said and said[name] == value for name, value in expected.items())


def _members(text: str) -> dict[str, object]:
    """Of a JSON object; of what is none, none."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


class Health:
    """A member's health. It starts healthy, since a new member is better tried than left out."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._against = 0  # results in a row that say the opposite of `healthy`
        self.healthy = True
        self.last_ok = True

    def saw(self, ok: bool) -> bool:
        """Take in one probe's result; True if it changed `healthy`."""
        self.last_ok = ok
        if ok == self.healthy:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self._probe.rise if ok else self._probe.fall):
            return False
        self.healthy, self._against = ok, 0
        return True

    def seconds_to_next(self, *, random: float) -> float:
        """When to probe again: soon while anything is amiss, else at the interval; `random` is in [0, 1)."""
        amiss = not (self.healthy and self.last_ok)
        wait = self._probe.failing_seconds if amiss else self._probe.interval_seconds
        return jittered(wait, fraction=self._probe.jitter_fraction, random=random)
