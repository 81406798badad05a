"""The public keys of a token issuer (RFC 7517), fetched in the background and read from memory.

A handshake never waits for the issuer. Keys are fetched at start, every few minutes, and soon after a token
names a key that is not known. While the issuer is away the keys at hand are served stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, NoReturn

import jwt

from proxy.core.backoff import delays, jittered
from proxy.core.errors import KeysUnavailable

logger = logging.getLogger(__name__)

MAX_JWKS_BYTES = 256 * 1024
MAX_KEYS = 100
MIN_RSA_BITS = 2048
_KEY_TYPES = {"RS": "RSA", "ES": "EC"}
_CURVES = {"ES256": "P-256"}


class UnknownKey(LookupError):
    """The issuer has no key of that id, as of a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksState:
    """How the keys are doing, for /ready. `age_seconds` is None before the first success."""

    ready: bool
    keys: int
    age_seconds: float | None
    last_error: str


def download(url: str, *, timeout_seconds: float = 5.0, max_bytes: int = MAX_JWKS_BYTES) -> bytes:
    """The body at `url`; blocks for at most about `timeout_seconds`.

    Raises:
        OSError, HTTPException: not reachable, not 200, cut short, or too slow.
        ValueError: longer than `max_bytes`.
    """
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310  http(s) by config
    deadline = time.monotonic() + timeout_seconds
    body = bytearray()
    with urllib.request.urlopen(request, timeout=timeout_seconds) as response:  # noqa: S310
        while chunk := response.read1(16 * 1024):
            body += chunk
            if len(body) > max_bytes:
                raise ValueError(f"the key set is longer than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError("the key set arrives too slowly")
    return bytes(body)


def parse_keys(body: bytes, *, algorithm: str) -> dict[str, Any]:
    """The usable keys of a key set by their id ("" without one); others are left out.

    Usable: of `algorithm`'s type, for signatures, strong enough, with no private part. The algorithm is ours
    to say, not the key's.

    Raises:
        ValueError: no key set, or none of its keys is usable.
    """
    usable: dict[str, Any] = {}
    try:
        for entry in json.loads(body)["keys"][:MAX_KEYS]:
            if (key := _key(entry, algorithm)) is not None:
                usable[str(entry.get("kid", ""))] = key
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("the answer is not a key set") from None
    if not usable:
        raise ValueError(f"the key set holds no key for {algorithm}")
    return usable


def _key(entry: Mapping[str, Any], algorithm: str) -> Any | None:
    if entry.get("kty") != _KEY_TYPES[algorithm[:2]] or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    if entry.get("alg", algorithm) != algorithm or entry.get("crv") != _CURVES.get(algorithm):
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm).key
    except jwt.PyJWTError:
        return None
    return key if getattr(key, "key_size", 0) >= MIN_RSA_BITS or algorithm in _CURVES else None


class Jwks:
    """The keys of one issuer. `run()` keeps them fresh on the loop; `key()` reads them.

    Durations are seconds: `refresh_seconds` between fetches when nothing happens, `pause_seconds` at least
    between any two, so that tokens with invented key ids cannot make us flood the issuer. After a failure the
    wait grows from `retry_seconds` to a minute.
    """

    def __init__(
        self,
        url: str,
        *,
        algorithm: str,
        refresh_seconds: float = 300.0,
        pause_seconds: float = 10.0,
        retry_seconds: float = 1.0,
        fetch: Callable[[str], bytes] = download,
    ) -> None:
        self.url, self.algorithm = url, algorithm
        self.refresh_seconds, self.pause_seconds = refresh_seconds, pause_seconds
        self.retry_seconds = retry_seconds
        self._fetch = fetch
        self._keys: dict[str, Any] = {}
        self._fetched_at: float | None = None
        self._last_error = ""
        self._wanted: asyncio.Event | None = None

    def key(self, kid: str | None) -> Any:
        """The key of id `kid`; a token without one may use the only key there is.

        Raises:
            KeysUnavailable: no keys yet, or a fetch is due that may bring this one; come back in seconds.
            UnknownKey: the keys are fresh, and it is not among them.
        """
        if self._fetched_at is None:
            raise KeysUnavailable("the key set is not loaded yet")
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        key = self._keys.get(kid or "")
        if key is not None:
            return key
        if kid is None or time.monotonic() - self._fetched_at < self.pause_seconds:
            raise UnknownKey
        if self._wanted is not None:
            self._wanted.set()
        raise KeysUnavailable("the key is not known; the key set is being fetched again")

    @property
    def state(self) -> JwksState:
        age_seconds = None if self._fetched_at is None else time.monotonic() - self._fetched_at
        return JwksState(
            ready=self._fetched_at is not None,
            keys=len(self._keys),
            age_seconds=age_seconds,
            last_error=self._last_error,
        )

    async def run(self) -> NoReturn:
        """Fetch now and for ever after; to be supervised, and cancelled at the end."""
        self._wanted = asyncio.Event()
        retries = delays(self.retry_seconds, longest_seconds=60.0)
        while True:
            if await self._refresh():
                retries = delays(self.retry_seconds, longest_seconds=60.0)
                self._wanted.clear()  # key() asks for no fetch sooner than pause_seconds after this one
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.refresh_seconds):
                        await self._wanted.wait()
            else:
                await asyncio.sleep(jittered(next(retries), fraction=0.3, random=random.random()))  # noqa: S311

    async def _refresh(self) -> bool:
        """One fetch; False when it failed, and then the keys stay as they are."""
        try:
            body = await asyncio.to_thread(self._fetch, self.url)
            self._keys = parse_keys(body, algorithm=self.algorithm)
        except (OSError, ValueError, HTTPException) as error:
            self._last_error = f"{type(error).__name__}: {error}"[:200]
            logger.warning("key set not fetched", extra={"error": self._last_error, "keys": len(self._keys)})
            return False
        self._fetched_at, self._last_error = time.monotonic(), ""
        return True
