from __future__ import annotations

import pytest

from proxy.core.text_tables import columns, facts, plain, table


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", "⟨U+001B⟩]0;owned⟨U+0007⟩"),
        ("\x9b31m", "⟨U+009B⟩31m"),
        ("a\r\nb\tc", "a⟨U+000D⟩⟨U+000A⟩b⟨U+0009⟩c"),
        ("ada\u202e\u200b", "ada⟨U+202E⟩⟨U+200B⟩"),
        ("\u2028\u2029", "⟨U+2028⟩⟨U+2029⟩"),
        ("\udc80\U000e0041", "⟨U+DC80⟩⟨U+E0041⟩"),
        ("42\u00a0", "42⟨U+00A0⟩"),
    ],
)
def test_nothing_that_a_terminal_obeys_or_hides_gets_through(hostile: str, shown: str) -> None:
    assert plain(hostile, 80) == shown
    assert "\n".join(table(["ID"], [[hostile]], most_columns=80)) == f"ID\n{shown}"


FAMILY = "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}"


def test_a_joiner_stays_where_it_joins_so_that_an_id_can_be_copied() -> None:
    assert plain(FAMILY) == FAMILY
    assert plain(f"ada\u200d {FAMILY}\u200d", 80) == f"ada⟨U+200D⟩ {FAMILY}⟨U+200D⟩"
    assert plain(FAMILY * 9, 9) == f"{FAMILY}\N{WOMAN}…"
    assert columns(FAMILY) == 6


def test_what_is_too_long_is_clipped_to_its_columns() -> None:
    assert plain("a" * 10, 10) == "a" * 10
    assert plain("a" * 11, 10) == "a" * 9 + "…"
    assert columns(plain("漢" * 40, 10)) <= 10
    assert plain("\x1b" * 40, 10) == "⟨U+001B⟩…"


def test_marks_by_the_thousand_take_no_more_room_than_letters() -> None:
    assert len(plain("e" + "\u0301" * 5000, 10)) <= 22


def test_columns_are_as_wide_as_their_widest_cell_also_where_letters_are_wide() -> None:
    assert list(table(["USER", "N"], [["漢字", "1"], ["ada", "22"], ["", "3"]])) == [
        "USER  N",
        "漢字  1",
        "ada   22",
        "-     3",
    ]


def test_facts_stand_below_each_other() -> None:
    assert list(facts([("links", "3"), ("memory", "")])) == ["links   3", "memory  -"]
