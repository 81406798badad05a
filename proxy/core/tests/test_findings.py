import pytest

from proxy.core.findings import (
    Amiss,
    Outcome,
    as_lines,
    as_object,
    failed,
    ok,
    summary,
    unused,
    warning,
    worst,
)

FOUND = [
    ok("database", "db:5432/gateway: PostgreSQL 18.6, answers in 0.8 ms"),
    warning("redis memory", "1.4 MB used of 64 MB, allkeys-lru", "Set maxmemory-policy to noeviction."),
    failed("kb", "kb.example.org/ws/experience: Connection refused", "Start it, or correct its URL; " * 3),
    unused("studio", "has no member"),
]


def test_lines_are_aligned_and_hints_stand_below_what_they_are_for() -> None:
    assert list(as_lines(FOUND, columns=64)) == [
        "ok       database      db:5432/gateway: PostgreSQL 18.6, answers",
        "                       in 0.8 ms",
        "warning  redis memory  1.4 MB used of 64 MB, allkeys-lru",
        "                       → Set maxmemory-policy to noeviction.",
        "failed   kb            kb.example.org/ws/experience: Connection",
        "                       refused",
        "                       → Start it, or correct its URL; Start it,",
        "                         or correct its URL; Start it, or",
        "                         correct its URL;",
        "unused   studio        has no member",
    ]


@pytest.mark.parametrize("columns", [1, 40, 80, 200])
def test_no_line_is_longer_than_the_screen_as_far_as_that_has_room_for_words(columns: int) -> None:
    lines = list(as_lines(FOUND, columns=columns))
    assert max(map(len, lines)) <= max(columns, 30 + len("warning  redis memory  "))
    assert not [line for line in lines if line != line.rstrip()]


def test_colour_changes_words_and_no_column() -> None:
    def painted(_: Outcome, word: str) -> str:
        return f"<{word}>"

    assert next(as_lines(FOUND, columns=80, paint=painted)).startswith("<ok     >  database      db:5432")


def test_the_object_counts_and_holds_every_part() -> None:
    told = as_object(FOUND)
    assert (told["outcome"], told["counts"]) == ("failed", {"ok": 1, "warning": 1, "failed": 1, "unused": 1})
    assert told["parts"][3] == {"part": "studio", "outcome": "unused", "seen": "has no member", "hint": ""}
    assert summary(FOUND) == "1 ok, 1 warning, 1 failed, 1 unused"
    assert (worst(FOUND[:2]), worst(FOUND[3:])) == (Outcome.WARNING, Outcome.OK)


def test_what_is_amiss_has_its_own_hint_or_that_of_its_trial() -> None:
    assert Amiss("no stream").finding("nats", hint="Start it.") == failed("nats", "no stream", "Start it.")
    assert Amiss("no stream", hint="Make it.").finding("nats", hint="Start it.").hint == "Make it."
