"""The public keys of a token issuer (RFC 7517), fetched in the background and read from memory.

A handshake never waits for the issuer. Keys are fetched at start, every few minutes, and soon after a token
names a key that is not known. While the issuer is away the keys at hand are served stale.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from itertools import chain, islice
from typing import Any, NoReturn

import jwt

from proxy.core.backoff import delays, jittered
from proxy.core.buckets import Bucket
from proxy.core.errors import KeysUnavailable
from proxy.core.limits import Rate
from proxy.engine.calls import in_own_thread, wait_at_most

logger = logging.getLogger(__name__)

MAX_JWKS_BYTES = 256 * 1024
MAX_KEYS = 100
MIN_RSA_BITS = 2048
MAX_KEYS_ASKED = 1000
MAX_KEY_ID_CHARS = 256
DEMANDS = Rate(5, 300)
_KEY_TYPES = {"RS": "RSA", "ES": "EC"}
_CURVES = {"ES256": "P-256"}


class UnknownKey(LookupError):
    """The issuer has no key of that id: a fetch that began after it was first named did not bring it."""


def download(
    url: str,
    *,
    timeout_seconds: float = 5.0,
    max_bytes: int = MAX_JWKS_BYTES,
    on_head: Callable[[Message], object] = lambda head: None,
) -> bytes:
    """The body at `url`; blocks for at most about `timeout_seconds`. `on_head` is told the answer's headers.

    Raises OSError or HTTPException (no answer, not 200, too slow), ValueError (longer than `max_bytes`).
    """
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  http(s) by config
    deadline = time.monotonic() + timeout_seconds
    body = bytearray()
    with urllib.request.urlopen(request, timeout=timeout_seconds) as response:  # noqa: S310
        on_head(response.headers)
        while chunk := response.read1(16 * 1024):
            body += chunk
            if len(body) > max_bytes:
                raise ValueError(f"the key set is longer than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("the key set arrives too slowly")
    return bytes(body)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable `keys` by their id ("" without one), and what is wrong with each entry that is `broken`."""

    keys: Mapping[str, Any]
    broken: tuple[str, ...]


class _Broken(Exception):
    """An entry of a key set that could never verify anything; str() says why, for operators."""


def parse_keys(body: bytes, *, algorithm: str) -> KeySet:
    """What a key set holds for `algorithm`. No entry can spoil the others.

    Usable: of `algorithm`'s type, for signatures, strong enough, with no private part. The algorithm is ours
    to say, not the key's. Keys for something else are left out; of several with one id the first counts, as
    it does for PyJWT's own client. Raises ValueError where none is left.
    """
    usable: dict[str, Any] = {}
    broken: list[str] = []
    for at, entry in enumerate(_entries(body)):
        try:
            key = _key(entry, algorithm)
            if key is not None and usable.setdefault(_key_id(entry), key) is not key:
                raise _Broken("the id of a key before it")
        except _Broken as why:
            broken.append(f"entry {at}: {why}")
    if not usable:
        raise ValueError(f"the key set holds no key for {algorithm}")
    return KeySet(usable, tuple(broken))


def _entries(body: bytes) -> list[Any]:
    try:
        told = json.loads(body)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None
    entries = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(entries, list):
        raise ValueError("the answer is not a key set")
    return entries[:MAX_KEYS]


def _key_id(entry: Mapping[str, Any]) -> str:
    kid = entry.get("kid")
    return "" if kid is None else str(kid)


def _key(entry: Any, algorithm: str) -> Any | None:
    """The key in an entry; None if it is for something else. Raises _Broken."""
    if not isinstance(entry, dict):
        raise _Broken("no object")
    if entry.get("kty") != _KEY_TYPES[algorithm[:2]] or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", algorithm) != algorithm or entry.get("crv") != _CURVES.get(algorithm):
        return None
    if "d" in entry:
        raise _Broken("a private key")
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except jwt.PyJWTError:
        raise _Broken("its numbers make no key") from None
    if algorithm not in _CURVES and key.key_size < MIN_RSA_BITS:
        raise _Broken(f"fewer than {MIN_RSA_BITS} bits")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksPace:
    """How often an issuer is asked. Durations are seconds.

    Keys are fetched every `refresh_seconds`; sooner when a token names a key that is not known, but not
    within `pause_seconds` of the last time, and no oftener than `demands`: whoever invents key ids cannot
    make us bother the issuer. What a fetch did not bring counts as unknown for `unknown_seconds`. After a
    failure the wait grows from `retry_seconds` to a minute.
    """

    refresh_seconds: float = 300.0
    pause_seconds: float = 10.0
    unknown_seconds: float = 60.0
    retry_seconds: float = 1.0
    fetch_seconds: float = 15.0
    demands: Rate = DEMANDS


PACE = JwksPace()


class Jwks:
    """The keys of one issuer. `run()` keeps them fresh on the loop; `key()` reads them."""

    def __init__(
        self,
        url: str,
        *,
        algorithm: str,
        pace: JwksPace = PACE,
        fetch: Callable[[str], bytes] = download,
    ) -> None:
        self.url, self.algorithm, self.pace = url, algorithm, pace
        self._fetch = fetch
        self._fetching: asyncio.Future[KeySet | str] | None = None
        self._demands = Bucket(pace.demands)
        self._keys: Mapping[str, Any] = {}
        self._broken: tuple[str, ...] = ()
        self._fetched_at: float | None = None
        self.last_error = ""
        # Key ids that tokens named: not asked for yet, and not in what was fetched last, though they were
        # asked for then or shortly before.
        self._asked: set[str] = set()
        self._unknown: frozenset[str] = frozenset()
        self._wanted = asyncio.Event()
        self._is_tried = asyncio.Event()

    def key(self, kid: str | None) -> Any:
        """The key of id `kid`; a token without one may use the only key there is.

        Raises:
            KeysUnavailable: no keys yet, or only a fetch that begins from now on can tell; come back.
            UnknownKey: it was asked for, and it is not there.
        """
        if self._fetched_at is None:
            raise KeysUnavailable("the key set is not loaded yet")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(kid or "")
        if key is not None:
            return key
        raise self._not_at_hand(kid, age_seconds=time.monotonic() - self._fetched_at)

    def _not_at_hand(self, kid: str | None, *, age_seconds: float) -> Exception:
        """What it means that the keys, fetched so long ago, have none of that id; if need be, ask for it."""
        if kid is None or len(kid) > MAX_KEY_ID_CHARS:
            return UnknownKey()
        if kid in self._unknown and age_seconds < self.pace.unknown_seconds:
            return UnknownKey()
        if len(self._asked) < MAX_KEYS_ASKED:
            self._asked.add(kid)
        self._wanted.set()
        pause_seconds = max(0.0, self.pace.pause_seconds - age_seconds)
        wait_seconds = max(pause_seconds, self._demands.wait_seconds(time.monotonic()))
        return KeysUnavailable(
            "the key is not known; the key set is to be fetched again",
            retry_after_seconds=KeysUnavailable.retry_after_seconds + wait_seconds,
        )

    @property
    def is_ready(self) -> bool:
        """Whether there are keys, fresh or stale."""
        return self._fetched_at is not None

    @property
    def age_seconds(self) -> float:
        """How long ago the keys were fetched; infinite as long as there are none."""
        return math.inf if self._fetched_at is None else time.monotonic() - self._fetched_at

    async def run(self) -> NoReturn:
        """Fetch now and for ever after; to be supervised, and cancelled at the end."""
        self._wanted = asyncio.Event()  # of this loop
        retries = delays(self.pace.retry_seconds, longest_seconds=60.0)
        while True:
            is_fetched = await self._refresh()
            self._is_tried.set()
            if is_fetched:
                retries = delays(self.pace.retry_seconds, longest_seconds=60.0)
                await wait_at_most(self.pace.refresh_seconds, self._demand())
            else:
                await asyncio.sleep(jittered(next(retries), fraction=0.3, random=random.random()))  # noqa: S311

    async def first_fetch(self, *, within_seconds: float) -> None:
        """Wait for the end of the first fetch, well or not, but no longer than that."""
        await wait_at_most(within_seconds, self._is_tried.wait())

    async def _demand(self) -> None:
        """Until a token names an unknown key, and we may bother the issuer for it."""
        await asyncio.sleep(self.pace.pause_seconds)
        await self._wanted.wait()
        wait_seconds = self._demands.take(time.monotonic())
        if wait_seconds > 0:
            await asyncio.sleep(wait_seconds)
            self._demands.take(time.monotonic())

    async def _refresh(self) -> bool:
        """One fetch; False when it failed, and then the keys stay as they are."""
        asked = frozenset(self._asked)  # whoever asks from now on is not answered by this fetch
        self._wanted.clear()
        try:
            async with asyncio.timeout(self.pace.fetch_seconds):
                found = await self._fetched()
        except TimeoutError:
            found = "no answer in time"
        if isinstance(found, str):
            self.last_error = found[:200]
            logger.warning("key set not fetched", extra={"error": self.last_error, "keys": len(self._keys)})
            return False
        self._log_changes(found)
        self._unknown = self._still_unknown(asked, found)
        self._keys, self._broken = found.keys, found.broken
        self._asked -= asked
        self._fetched_at, self.last_error = time.monotonic(), ""
        return True

    def _still_unknown(self, asked: frozenset[str], found: KeySet) -> frozenset[str]:
        """What a fetch for `asked` has not brought, nor what was unknown till now: that is so once more."""
        before = self._unknown - asked
        return frozenset(islice(chain(asked, before), MAX_KEYS_ASKED)).difference(found.keys)

    def _log_changes(self, found: KeySet) -> None:
        if found.keys.keys() != self._keys.keys():
            logger.info("key set fetched", extra={"keys": len(found.keys)})
        if found.broken and found.broken != self._broken:
            logger.warning(
                "entries of the key set are left out", extra={"why": "; ".join(found.broken)[:200]}
            )

    async def _fetched(self) -> KeySet | str:
        """The keys, or why there are none. A thread that hangs, in a resolver, say, holds up nobody's end."""
        if self._fetching is not None and not self._fetching.done():
            return "the last fetch has not ended yet"
        self._fetching = in_own_thread(self._fetch_and_parse, name="jwks")
        return await asyncio.shield(self._fetching)

    def _fetch_and_parse(self) -> KeySet | str:
        """In the thread."""
        try:
            return parse_keys(self._fetch(self.url), algorithm=self.algorithm)
        except (OSError, ValueError, HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001  the thread's outermost edge; its loop would wait in vain
            return f"unexpected {type(error).__name__}"
