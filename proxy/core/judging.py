"""What to think of what was seen of a part. No I/O: who looks is proxy/doctor."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.findings import Finding, failed, ok, warning
from proxy.core.human import counted, milliseconds, size

# Beyond these, what is ordered by time is told apart wrongly; beyond those, fresh tokens are refused.
_SKEW_TO_WARN_OF_SECONDS, _MOST_SKEW_SECONDS = 1.0, 30.0
_SAME_SECONDS = 0.01
_SET_CLOCK = "Have chrony or systemd-timesyncd keep the time, on both machines."
# Streams are trimmed by age since this version of Redis (XTRIM MINID).
LEAST_REDIS = (6, 2)
_FULL_FRACTION = 0.9
_LEAST_FREE_BYTES, _FEW_FREE_BYTES = 100 << 20, 1 << 30


def clock(part: str, *, ahead_seconds: float, unsure_seconds: float) -> Finding:
    """Of a clock that was read: how far it is ahead of ours, give or take what reading it took."""
    sure_seconds = max(0.0, abs(ahead_seconds) - unsure_seconds)
    seen = f"{abs(ahead_seconds):.2f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this machine's"
    if not sure_seconds or abs(ahead_seconds) < _SAME_SECONDS:
        seen = f"agrees with this machine's, to {milliseconds(max(unsure_seconds, _SAME_SECONDS))}"
    if sure_seconds > _MOST_SKEW_SECONDS:
        return failed(part, seen, f"Tokens are refused before their time, or taken after it. {_SET_CLOCK}")
    if sure_seconds > _SKEW_TO_WARN_OF_SECONDS:
        return warning(part, seen, _SET_CLOCK)
    return ok(part, seen)


def redis_version(part: str, server: Mapping[str, str], *, seconds: float) -> Finding:
    """Of the section `server` of INFO, answered in `seconds`."""
    speaks = server.get("redis_version", "")
    name = "Valkey" if "valkey_version" in server else "Redis"
    seen = f"{name} {server.get('valkey_version') or speaks}, answers in {milliseconds(seconds)}"
    if _numbers(speaks) < LEAST_REDIS:
        least = ".".join(map(str, LEAST_REDIS))
        return failed(part, seen, f"Upgrade it: histories need Redis {least}, or any Valkey.")
    return ok(part, seen)


def redis_memory(part: str, info: Mapping[str, str]) -> Finding:
    """Of INFO: what it keeps when it is full, and how far that is."""
    used, most = _integer(info, "used_memory"), _integer(info, "maxmemory")
    policy = info.get("maxmemory_policy", "")
    seen = f"{size(used)} used of {size(most) if most else 'all there is'}, {policy}"
    if most and policy != "noeviction":
        return warning(
            part, seen, "Set maxmemory-policy to noeviction: else tokens, caps and streams vanish."
        )
    if most and used > _FULL_FRACTION * most:
        return warning(part, seen, "Raise maxmemory: when it is full, it refuses what it would have to keep.")
    return ok(part, seen)


def redis_writes(part: str, info: Mapping[str, str]) -> Finding | None:
    """Of INFO: whether it takes writes at all. None: there is nothing against it."""
    if info.get("role") in {"slave", "replica"}:
        return failed(part, "a replica, which takes no writes", "Have REDIS_URL lead to the primary.")
    if info.get("loading") == "1":
        return failed(part, "still loads what it has on disk", "Wait, and ask again.")
    if info.get("rdb_last_bgsave_status") == "err" or info.get("aof_last_write_status") == "err":
        seen = "could not write to its disk, and may refuse writes"
        return warning(part, seen, "Make room on its disk, and look into its log.")
    return None


def postgres_connections(part: str, *, most: int, used: int, nodes: int, pool_size: int) -> Finding:
    """Whether each of `nodes`, running ones and, if none runs, the one to come, can fill its pool.

    `most`: what PostgreSQL has for other than superusers, of which `used` are taken by anybody now.
    """
    wanted = max(nodes, 1) * pool_size
    seen = f"{used} of {most} in use; {counted(max(nodes, 1), 'node')} may take {wanted}"
    if wanted > most:
        hint = "Raise max_connections of PostgreSQL, lower DATABASE_POOL_SIZE, or put a pooler between."
        return failed(part, seen, hint)
    if used >= most:
        return failed(part, seen, "Find out who holds them: SELECT * FROM pg_stat_activity.")
    return ok(part, seen)


def disk(part: str, *, free_bytes: int) -> Finding:
    seen = f"{size(free_bytes)} free"
    if free_bytes < _LEAST_FREE_BYTES:
        return failed(part, seen, "Make room: the record of connections is about to stop.")
    if free_bytes < _FEW_FREE_BYTES:
        return warning(part, seen, "Make room, or keep connections for fewer days (RECORD_RETENTION_DAYS).")
    return ok(part, seen)


def handshake_status(part: str, status: int, *, words: str, passes_token: bool) -> Finding:
    """Of a member that answered a probe's handshake, or its GET, with that status and said `words` of it."""
    seen = f"answered {status}" + (f" ({words.rstrip('.')})" if words else "")
    if status in {401, 403} and passes_token:
        return ok(part, f"{seen}, as one that wants a token may")
    if status == 404:
        return warning(part, seen, "Is the path right that stands in its URL, or the probe's?")
    if status in {401, 403}:
        return warning(part, seen, "Will it take clients' handshakes? Its log says why it refuses.")
    if status == 429:
        return warning(part, seen, "It bounds who comes from this address: have it exempt the gateways.")
    if status in {301, 302, 307, 308}:
        return failed(part, seen, "Name the URL that it redirects to: no redirect is followed.")
    if status >= 500:
        return failed(part, seen, "It is there, and not well, or a proxy in front finds nobody: see its log.")
    return failed(part, seen, "Is it a WebSocket service? Look at its URL, and at its log.")


_TOKEN_HINTS = {
    "malformed": "It is no JSON Web Token: three parts of letters, digits, - and _ with dots between.",
    "algorithm": "Its `alg` is not JWT_ALGORITHM. Set that to what the issuer signs with.",
    "signature": "It was signed with another key than JWT_SIGNING_KEY, JWT_VERIFYING_KEY or the JWKS have.",
    "unknown_key": "The issuer's key set has no key of its `kid`: is JWT_JWKS_URL that of its issuer?",
    "expired": "Take a fresh one. If it is fresh, see the clocks above, or JWT_LEEWAY_SECONDS.",
    "not_yet_valid": "Its `nbf` is in the future: see the clocks above, or JWT_LEEWAY_SECONDS.",
    "no_expiry": "It has no `exp`, which is required: have the issuer set one.",
    "issuer": "Its `iss` is not JWT_ISSUER.",
    "audience": "Its `aud` is not JWT_AUDIENCE, or it has one and JWT_AUDIENCE is unset.",
    "subject": "The claim of JWT_USER_ID_CLAIM is no user id: printable text of 1 to 255 characters.",
    "absurd_time": "Its `exp`, `nbf` or `iat` is no time in seconds; milliseconds are the usual mistake.",
    "not_access_token": "Its `token_type` is not `access`: it is a refresh token, perhaps.",
}


def refused_token(part: str, reason: str) -> Finding:
    """Of a token that would be refused for that reason (proxy/tokens.py)."""
    hint = _TOKEN_HINTS.get(reason, "docs/tokens.md says what a token has to have.")
    return failed(part, f"refused: {reason.replace('_', ' ')}", hint)


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version; none: as if it were the oldest."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def _integer(info: Mapping[str, str], name: str) -> int:
    value = info.get(name, "")
    return int(value) if value.isdigit() else 0
