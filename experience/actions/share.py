"""Who of the clients of `/ws/experience` is moved to the session service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from proxy.api import Principal

STAYS = ""


@dataclass(frozen=True, slots=True)
class Share:
    """So many percent of the users go to the route `to`, and who has a token that says so in `claim`.

    A user goes the same way on every node and every time, and whoever is moved stays so as `percent` grows.
    """

    to: str
    percent: float
    claim: str = ""

    def divert(self) -> Callable[[Principal], str] | None:
        """For the route; None where nobody can be moved."""
        return self.route_of if self.percent or self.claim else None

    def route_of(self, principal: Principal) -> str:
        said = principal.claims.get(self.claim) if self.claim else None
        moves = said if isinstance(said, bool) else place_of(principal.user_id) < self.percent
        return self.to if moves else STAYS


def place_of(user_id: str) -> float:
    """From 0 to below 100, alike for all users together and always the same for one."""
    number = int.from_bytes(sha256(user_id.encode(errors="surrogatepass")).digest()[:8])
    return number / 2**64 * 100
