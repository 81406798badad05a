"""All that the doctor tries, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from django.conf import settings

from proxy import trials as product
from proxy.core.findings import Finding, ok
from proxy.doctor import configured, database, host, redis, tokens, traces, upstreams
from proxy.doctor.trial import Trial, clean, try_all
from proxy.env import env


async def try_everything(*, token: str | None, seconds: float) -> list[Finding]:
    """What is found of each part, within twice so many seconds. `token`: one to be verified, too.

    Pools come second, since members of staff's own are in the database.
    """
    routes_fail = configured.load_routes()
    settings_say = clean(configured.judged(routes_fail=routes_fail))  # before any deadline runs
    seen = database.Seen()

    async def look_at_database() -> Sequence[Finding]:
        nonlocal seen
        seen = await database.look()
        return seen.findings

    first = [
        *_of_this_host(),
        Trial(part=database.PART, look=look_at_database, hint=database.HINT, needs=("DATABASE_URL",)),
        Trial(part=redis.PART, look=redis.look, hint=redis.HINT, needs=("REDIS_URL",)),
        *_of_tokens(token),
        *_of_traces(),
        *_of_the_product(),
    ]
    found = [*settings_say, *await try_all(first, seconds=seconds)]
    if routes_fail or "ROUTES" in (env.wrong or {}):
        return found
    return [*found, *await try_all(upstreams.trials(seen.members), seconds=seconds)]


def _of_this_host() -> Iterator[Trial]:
    yield Trial(part="host", look=host.look_at_host)
    yield Trial(part="open files", look=host.look_at_files, needs=("MAX_CONNECTIONS",))
    yield Trial(part="port", look=host.look_at_port, needs=("GATEWAY_HOST", "GATEWAY_PORT"))


def _of_tokens(token: str | None) -> Iterator[Trial]:
    yield Trial(part=tokens.KEYS, look=tokens.look_at_keys, hint=tokens.HINT, needs=tokens.NEEDS)
    if token is not None:
        look = partial(tokens.look_at_token, token)
        yield Trial(part=tokens.TOKEN, look=look, hint=tokens.HINT, needs=tokens.NEEDS)


def _of_traces() -> Iterator[Trial]:
    if settings.TRACES_ENDPOINT:
        yield Trial(part=traces.PART, look=traces.look, hint=traces.HINT, needs=traces.NEEDS)


def _of_the_product() -> Iterator[Trial]:
    for part, told in product.told().items():
        yield Trial(part=part, look=partial(_look, part, told), hint=told.hint)


async def _look(part: str, told: product.ProductTrial) -> Sequence[Finding]:
    return [ok(part, await told.look())]
