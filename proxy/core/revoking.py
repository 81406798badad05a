"""Which tokens are taken back before they expire: of a user, one by its id, or all issued before a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from proxy.core.principal import Principal

# When a token was issued that says neither when, nor until when it lives: before any revocation.
NOBODY_KNOWS = -math.inf


class Shown(NamedTuple):
    """What a link keeps of the token that it was opened by, or of a newer one, to be judged by later.

    `issued_at` is Unix seconds, never later than when it was shown; `jti` its id, "" for none.
    """

    issued_at: float = NOBODY_KNOWS
    jti: str = ""

    @classmethod
    def by(cls, principal: Principal, *, now: float, lifetime_seconds: float, vouched: bool = False) -> Shown:
        """What `principal` has shown at `now`.

        A token is issued before it is shown, whatever the clock of its issuer says. One without `iat` may
        have been issued `lifetime_seconds`, the longest that tokens live, before it expires. `vouched`: a
        route has found out itself who the client is; where it tells no `iat`, that is as new as this moment.
        """
        issued_at, jti = principal.claims.get("iat"), principal.claims.get("jti")
        if not isinstance(issued_at, int | float) or isinstance(issued_at, bool) or math.isnan(issued_at):
            expires_at = principal.expires_at
            issued_at = NOBODY_KNOWS if expires_at is None else expires_at - lifetime_seconds
            issued_at = now if vouched else issued_at
        return cls(min(issued_at, now), jti if isinstance(jti, str) else "")


class Revoked(NamedTuple):
    """One revocation: of the token `jti`; of those of a user, or of everybody, issued before a time.

    `issued_before` is Unix seconds, and None where the token's id says it all.
    """

    user_id: str = ""
    jti: str = ""
    issued_before: float | None = None


class Revocations:
    """Many of them, asked once a handshake: three look-ups, however many there are.

    `iat` is in whole seconds, rounded down: a token of the very second of a revocation counts as issued
    before, unless that names the second's beginning.
    """

    __slots__ = ("_everyone", "_jtis", "_users")

    def __init__(self, rows: Iterable[Revoked] = ()) -> None:
        self._everyone: float = NOBODY_KNOWS
        self._users: dict[str, float] = {}
        self._jtis: set[str] = set()
        self.add(rows)

    def add(self, rows: Iterable[Revoked]) -> None:
        """Take these back, too: what is there already costs nothing, however much it is."""
        for user_id, jti, issued_before in rows:
            if jti:
                self._jtis.add(jti)
            elif issued_before is None:
                continue
            elif user_id:
                self._users[user_id] = max(issued_before, self._users.get(user_id, NOBODY_KNOWS))
            else:
                self._everyone = max(issued_before, self._everyone)

    def revokes(self, user_id: str, shown: Shown) -> bool:
        """Whether that token of that user is taken back."""
        issued_before = max(self._everyone, self._users.get(user_id, NOBODY_KNOWS))
        return shown.issued_at < issued_before or shown.jti in self._jtis
