"""What is written on a ticket, and what is kept of one."""

from __future__ import annotations

import pytest

from proxy.core.tickets import SECRET_BYTES, Ticket, TicketRefused, is_one, key_of, seal_of, served_by, write

ONE, OTHER = bytes(SECRET_BYTES), bytes([*bytes(SECRET_BYTES - 1), 1])
BOUGHT = Ticket(token="a.b.c", routes=("old", "new"), address="192.0.2.1")


@pytest.mark.parametrize("name", ["", "v2", "a route's name / ☂", "x" * 255])
def test_a_ticket_goes_into_a_url_as_it_is_and_names_the_route_that_serves_it(name: str) -> None:
    text = write(ONE, served_by=name)
    assert is_one(text)
    assert text.isascii()
    assert text.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert served_by(text) == name


@pytest.mark.parametrize(
    "text", ["", "x", write(ONE)[:-1], write(ONE) + "=", write(ONE) + ".", "ä" * 43, "a" * 5000]
)
def test_what_has_not_its_shape_is_none(text: str) -> None:
    assert not is_one(text)
    assert served_by(text) == ""


@pytest.mark.parametrize("named", ["_w", "A", "gICA"])
def test_a_name_that_no_ticket_of_ours_has_is_none(named: str) -> None:
    assert served_by(f"{write(ONE)}.{named}") == ""


def test_keys_and_seals_are_of_the_whole_ticket_and_neither_tells_of_the_other() -> None:
    texts = [write(ONE), write(OTHER), write(ONE, served_by="v2"), write(ONE, served_by="v3")]
    derived = {key_of(text) for text in texts} | {seal_of(text).hex() for text in texts}
    assert len(derived) == 2 * len(texts)
    assert {len(each) for each in derived} == {64}


def test_what_it_stands_for_is_kept_whole_and_its_token_never_shown() -> None:
    assert Ticket.decoded(BOUGHT.encoded()) == BOUGHT
    assert "a.b.c" not in repr(BOUGHT)


@pytest.mark.parametrize("route", ["old", "new"])
def test_it_opens_the_routes_that_it_was_bought_for(route: str) -> None:
    BOUGHT.check(route=route, address="192.0.2.1")
    Ticket(token="a.b.c", routes=("old", "new")).check(route=route, address="")


@pytest.mark.parametrize(
    ("route", "address", "reason", "code"),
    [
        ("other", "192.0.2.1", "ticket_route", 1008),
        ("old", "192.0.2.2", "ticket_address", 4010),
        ("old", "", "ticket_address", 4010),
    ],
)
def test_it_opens_no_other_route_and_not_from_elsewhere(
    route: str, address: str, reason: str, code: int
) -> None:
    with pytest.raises(TicketRefused) as refused:
        BOUGHT.check(route=route, address=address)
    assert (refused.value.reason, refused.value.close.code) == (reason, code)
