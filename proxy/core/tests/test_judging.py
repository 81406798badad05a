import pytest

from proxy.core import judging
from proxy.core.findings import Outcome

OK, WARNING, FAILED = Outcome.OK, Outcome.WARNING, Outcome.FAILED
MB, GB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("ahead", "unsure", "outcome", "words"),
    [
        (0.002, 0.001, OK, "agrees with this machine's, to 10 ms"),
        (-0.4, 0.5, OK, "agrees with this machine's, to 500 ms"),
        (-0.9, 0.001, OK, "0.90 s behind this machine's"),
        (1.2, 0.001, WARNING, "1.20 s ahead of this machine's"),
        (1.4, 0.5, OK, "1.40 s ahead of"),
        (-29.0, 0.0, WARNING, "29.00 s behind"),
        (31.0, 0.5, FAILED, "31.00 s ahead of"),
        (-3600.0, 0.5, FAILED, "3600.00 s behind"),
    ],
)
def test_a_clock_is_judged_by_what_is_sure_of_its_difference(
    ahead: float, unsure: float, outcome: Outcome, words: str
) -> None:
    found = judging.clock("clock", ahead_seconds=ahead, unsure_seconds=unsure)
    assert (found.outcome, words in found.seen) == (outcome, True), found.seen
    assert bool(found.hint) is (outcome is not OK)


@pytest.mark.parametrize(
    ("server", "outcome", "words"),
    [
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, OK, "Valkey 9.1.2, answers in 0.4 ms"),
        ({"redis_version": "6.2.0"}, OK, "Redis 6.2.0"),
        ({"redis_version": "6.0.16"}, FAILED, "Redis 6.0.16"),
        ({"redis_version": "10.0.1"}, OK, "Redis 10.0.1"),
        ({}, FAILED, "Redis "),
    ],
)
def test_a_redis_is_old_or_new_enough(server: dict[str, str], outcome: Outcome, words: str) -> None:
    found = judging.redis_version("redis", server, seconds=0.0004)
    assert (found.outcome, words in found.seen) == (outcome, True)


@pytest.mark.parametrize(
    ("info", "outcome"),
    [
        ({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, OK),
        ({"maxmemory": str(GB), "maxmemory_policy": "noeviction"}, OK),
        ({"maxmemory": str(GB), "maxmemory_policy": "volatile-lru"}, WARNING),
        ({"maxmemory": str(10 * MB), "maxmemory_policy": "noeviction", "used_memory": str(9 * MB)}, OK),
        ({"maxmemory": str(10 * MB), "maxmemory_policy": "noeviction", "used_memory": str(10 * MB)}, WARNING),
    ],
)
def test_a_redis_that_evicts_or_is_full_is_doubted(info: dict[str, str], outcome: Outcome) -> None:
    assert judging.redis_memory("memory", {"used_memory": "1000000"} | info).outcome is outcome


def test_a_redis_that_takes_no_writes_is_told_apart() -> None:
    assert judging.redis_writes("writes", {"role": "master", "rdb_last_bgsave_status": "ok"}) is None
    for info, outcome, words in (
        ({"role": "slave"}, FAILED, "replica"),
        ({"role": "master", "loading": "1"}, FAILED, "loads"),
        ({"role": "master", "rdb_last_bgsave_status": "err"}, WARNING, "disk"),
    ):
        found = judging.redis_writes("writes", info)
        assert found is not None
        assert (found.outcome, words in found.seen) == (outcome, True)


@pytest.mark.parametrize(
    ("most", "used", "nodes", "outcome"),
    [(97, 12, 2, OK), (97, 12, 0, OK), (19, 3, 2, FAILED), (20, 20, 2, FAILED), (9, 1, 0, FAILED)],
)
def test_connections_have_to_do_for_all_nodes(most: int, used: int, nodes: int, outcome: Outcome) -> None:
    found = judging.postgres_connections("connections", most=most, used=used, nodes=nodes, pool_size=10)
    assert found.outcome is outcome


@pytest.mark.parametrize(
    ("free", "outcome"), [(2 * GB, OK), (500 * MB, WARNING), (99 * MB, FAILED), (0, FAILED)]
)
def test_a_disk_that_is_nearly_full_is_told_before_it_is(free: int, outcome: Outcome) -> None:
    assert judging.disk("disk", free_bytes=free).outcome is outcome


@pytest.mark.parametrize(
    ("status", "passes_token", "outcome"),
    [
        (401, True, OK),
        (403, True, OK),
        (401, False, WARNING),
        (403, False, WARNING),
        (404, True, WARNING),
        (429, False, WARNING),
        (302, True, FAILED),
        (400, True, FAILED),
        (500, True, FAILED),
        (200, True, FAILED),
    ],
)
def test_a_refused_handshake_is_judged_by_its_status_and_by_who_is_to_know_clients(
    status: int, passes_token: bool, outcome: Outcome
) -> None:
    found = judging.handshake_status("kb", status, words="No token.", passes_token=passes_token)
    assert found.outcome is outcome
    assert f"answered {status} (No token)" in found.seen
    assert bool(found.hint) is (outcome is not OK)
