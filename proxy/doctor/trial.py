"""One part that is looked at, under a deadline: however it fails, it is a finding, and the others go on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from proxy.core.findings import Amiss, Finding, failed, unused
from proxy.core.human import one_line
from proxy.core.redaction import redacted, without
from proxy.core.wording import in_words
from proxy.engine.calls import call_within, in_own_thread
from proxy.env import env

T = TypeVar("T")
_MOST_CHARS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`look` answers what it found; what it raises is a failure of `part`, and `hint` what to do then.

    `needs`: the variables without whose right values there is nothing to look at.
    """

    part: str
    look: Callable[[], Awaitable[Sequence[Finding]]]
    hint: str = ""
    needs: Sequence[str] = ()


async def try_all(trials: Sequence[Trial], *, seconds: float) -> list[Finding]:
    """What all of them find, in their order, each within so many seconds."""
    found = await asyncio.gather(*(_try(trial, seconds) for trial in trials))
    return clean(finding for of_trial in found for finding in of_trial)


async def _try(trial: Trial, seconds: float) -> Sequence[Finding]:
    wrong = [name for name in trial.needs if {name, f"{name}_FILE"} & set(env.wrong or ())]
    if wrong:
        return [unused(trial.part, f"not tried, since {' and '.join(wrong)} is wrong")]
    try:
        return await call_within(seconds, trial.look())
    except Amiss as amiss:
        return [amiss.finding(trial.part, hint=trial.hint)]
    except TimeoutError:
        return [failed(trial.part, f"no answer in {seconds:g} s", trial.hint)]
    except Exception as error:  # noqa: BLE001  the trial's outermost edge: none hides another's
        return [failed(trial.part, why(error), trial.hint)]


async def in_thread(look: Callable[[], T]) -> T:
    """What `look` answers or raises, which may block for as long as it likes: nobody waits for its thread."""
    answer = await in_own_thread(partial(_outcome_of, look), name="doctor")
    if isinstance(answer, _Raised):
        raise answer.error
    return answer


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


def _outcome_of(look: Callable[[], T]) -> T | _Raised:
    try:
        return look()
    except Exception as error:  # noqa: BLE001  raised again where it is waited for
        return _Raised(error.with_traceback(None))


def why(error: BaseException) -> str:
    """An error in the fewest words that tell."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not taken: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve: {error.strerror}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error)
    return in_words(error)


def address_of(url: str) -> str:
    """Host, port and path of a URL: what may be shown."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def clean(findings: Iterable[Finding]) -> list[Finding]:
    """Each on one line, and without what nobody may see, whoever said it."""
    passwords = sorted(env.passwords(), key=len, reverse=True)
    return [_clean(finding, passwords) for finding in findings]


def _clean(finding: Finding, passwords: Iterable[str]) -> Finding:
    seen, hint = one_line(" ".join(finding.seen.split()), _MOST_CHARS), finding.hint
    for password in passwords:
        seen, hint = without(seen, password), without(hint, password)
    return Finding(one_line(finding.part), finding.outcome, redacted(seen), redacted(hint))
