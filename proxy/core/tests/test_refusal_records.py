"""Refusals that wait to be written: none uncounted, however many, and never more than there is room for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.core.refusal_records import PendingRefusals, RefusalBounds, RefusalRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Refusals:
    """Makes them, each with an id of its own."""

    def __init__(self) -> None:
        self.made = 0

    def one(
        self,
        address: str = "192.0.2.1",
        *,
        user: str = "",
        cause: str = "token_expired",
        second: float = 0,
        is_known: bool = False,
    ) -> RefusalRecord:
        self.made += 1
        return RefusalRecord(
            id=str(self.made),
            refused_at=NOON + timedelta(seconds=second),
            route="game",
            status=401,
            close_code=4010,
            cause=cause,
            reason="expired",
            client_address=address,
            user_id=user,
            is_known=is_known,
            user_agent="Unity",
            request_id=f"r{self.made}",
        )


def noted(pending: PendingRefusals, *records: RefusalRecord) -> list[RefusalRecord]:
    for record in records:
        pending.note(record)
    pending.settle(NOON.timestamp() + 3600)
    return pending.take(100_000)


def test_the_first_of_a_client_stand_for_themselves_and_others_are_counted_in_one() -> None:
    make = Refusals()
    rows = noted(PendingRefusals(bounds=RefusalBounds(client=3)), *(make.one(user="ada") for _ in range(10)))
    assert [(row.times, row.request_id) for row in rows] == [(1, "r1"), (1, "r2"), (1, "r3"), (7, "")]
    assert {(row.user_id, row.client_address) for row in rows} == {("ada", "192.0.2.1")}


def test_each_cause_is_counted_by_itself() -> None:
    make = Refusals()
    pending = PendingRefusals(bounds=RefusalBounds(client=1))
    rows = noted(pending, *(make.one(cause=cause) for cause in ("blocked", "blocked", "blocked", "draining")))
    assert [(row.cause, row.times) for row in rows] == [("blocked", 1), ("blocked", 2), ("draining", 1)]


def test_users_behind_one_address_do_not_hide_each_other_and_one_of_ipv6_has_but_one_place() -> None:
    make = Refusals()
    users = noted(PendingRefusals(bounds=RefusalBounds(client=1)), make.one(user="ada"), make.one(user="bob"))
    assert [row.user_id for row in users] == ["ada", "bob"]
    hosts = [make.one(f"2001:db8:1:2::{host:x}") for host in range(1, 6)]
    assert [row.times for row in noted(PendingRefusals(bounds=RefusalBounds(client=2)), *hosts)] == [1, 1, 3]


def test_a_flood_from_many_addresses_has_so_much_room_a_minute_and_is_counted_beyond() -> None:
    make = Refusals()
    pending = PendingRefusals(bounds=RefusalBounds(client=10, all=50))
    rows = noted(pending, *(make.one(f"10.0.{at // 250}.{at % 250}") for at in range(1000)))
    assert len(rows) == 26, "half of it: the other half is for who is known"
    assert (rows[-1].times, rows[-1].client_address, rows[-1].cause) == (975, "", "token_expired")
    assert not rows[-1].user_id + rows[-1].request_id + rows[-1].user_agent + rows[-1].reason


def test_strangers_hide_no_user_whose_token_is_good() -> None:
    make = Refusals()
    flood = [make.one(f"10.0.{at // 250}.{at % 250}", cause=f"cause {at % 8}") for at in range(2000)]
    ada = make.one("192.0.2.9", user="ada", cause="too_many_per_user", is_known=True)
    rows = noted(PendingRefusals(), *flood, ada)
    assert (rows[-1].user_id, rows[-1].request_id) == ("ada", ada.request_id) or ada in rows
    assert len(rows) <= 500 + 8 + 1


def test_one_address_has_so_much_room_whoever_it_says_it_is() -> None:
    make = Refusals()
    rows = noted(PendingRefusals(), *(make.one(user=f"guest {at}", is_known=True) for at in range(500)))
    assert len(rows) == 31
    assert (rows[-1].times, rows[-1].user_id, rows[-1].client_address) == (470, "", "192.0.2.1")


def test_one_customers_ipv6_network_has_so_much_room() -> None:
    make = Refusals()
    rows = noted(PendingRefusals(), *(make.one(f"2001:db8:1:{at:x}::1") for at in range(1, 1001)))
    assert len(rows) == 101
    assert rows[-1].times == 900


def test_a_new_minute_has_room_again() -> None:
    make = Refusals()
    pending = PendingRefusals(bounds=RefusalBounds(client=1, all=4))
    rows = noted(pending, *(make.one(second=second) for second in (0, 1, 2, 60, 61)))
    assert sorted(row.times for row in rows) == [1, 1, 1, 2]


def test_one_that_counts_on_is_written_as_its_count_doubles_and_at_the_minutes_end() -> None:
    make = Refusals()
    pending = PendingRefusals(bounds=RefusalBounds(client=1))
    pending.note(make.one())
    written = []
    for _ in range(100):
        pending.note(make.one())
        written += [row.times for row in pending.take(10) if row.times > 1]
        pending.written()
    assert written == [2, 4, 8, 16, 32, 64]
    pending.settle(NOON.timestamp() + 60)
    assert [row.times for row in pending.take(10)] == [100]


def test_one_that_counts_on_while_it_is_written_is_written_again_with_all() -> None:
    make = Refusals()
    pending = PendingRefusals(bounds=RefusalBounds(client=1))
    for _ in range(3):
        pending.note(make.one())
    (_, written) = pending.take(10)
    pending.note(make.one())
    assert written.times == 2, "what is being written stays as it is"
    pending.written()
    pending.settle(NOON.timestamp() + 60)
    (row,) = pending.take(10)
    assert (row.id, row.times) == (written.id, 3)


class AgainstADatabase(RuleBasedStateMachine):
    """Whatever the order of notes, writes and failures, each refusal is in the database once, or dropped."""

    MOST, OF_ONE, A_MINUTE = 12, 2, 6

    def __init__(self) -> None:
        super().__init__()
        bounds = RefusalBounds(client=self.OF_ONE, address=3, site=3, all=self.A_MINUTE)
        self.pending = PendingRefusals(most=self.MOST, bounds=bounds)
        self.make = Refusals()
        self.database: dict[str, RefusalRecord] = {}
        self.batch: list[RefusalRecord] = []
        self.minute = 0

    @rule(
        host=st.integers(1, 5),
        user=st.sampled_from(["", "ada"]),
        cause=st.sampled_from(["blocked", "draining"]),
    )
    def note(self, host: int, user: str, cause: str) -> None:
        self.pending.note(self.make.one(f"192.0.2.{host}", user=user, cause=cause, second=60 * self.minute))

    @rule()
    def a_minute_passes(self) -> None:
        self.minute += 1

    @precondition(lambda self: not self.batch)
    @rule(most=st.integers(1, 4))
    def take(self, most: int) -> None:
        self.batch = self.pending.take(most)

    @precondition(lambda self: self.batch)
    @rule(works=st.booleans(), took_effect=st.booleans())
    def finish(self, works: bool, took_effect: bool) -> None:
        if works or took_effect:
            for row in self.batch:
                assert row.id not in self.database or row.times >= self.database[row.id].times
                self.database[row.id] = row
        (self.pending.written if works else self.pending.put_back)()
        self.batch = []

    @invariant()
    def is_bounded(self) -> None:
        assert self.pending.count <= self.MOST
        causes_and_routes = 2
        assert len(self.database) <= (self.minute + 1) * (self.A_MINUTE + causes_and_routes)

    def teardown(self) -> None:
        if self.batch:
            self.finish(works=True, took_effect=True)
        self.pending.settle(NOON.timestamp() + 60 * (self.minute + 1))
        while rows := self.pending.take(4):
            self.database |= {row.id: row for row in rows}
            self.pending.written()
        kept = sum(row.times for row in self.database.values())
        # A write that took effect, and failed all the same, is counted where its record was given up then.
        assert kept <= self.make.made <= kept + self.pending.dropped


TestAgainstADatabase = AgainstADatabase.TestCase
