import pytest

from proxy.core.human import counted, duration, is_printable, one_line, rate, size, visible


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (10 * 1024, "10 KB"),
        (5 << 20, "5.0 MB"),
        (3 << 30, "3.0 GB"),
        (5000 << 40, "5,000 TB"),
    ],
)
def test_sizes_read_short(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("a_second", "text"),
    [(0, "0/s"), (0.043, "0.04/s"), (3.14, "3.1/s"), (10, "10/s"), (1200.4, "1,200/s")],
)
def test_rates_read_short(a_second: float, text: str) -> None:
    assert rate(a_second) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m 00s"),
        (187, "3m 07s"),
        (7500, "2h 05m"),
        (86_400 * 9 + 4 * 3600, "9d 04h"),
    ],
)
def test_durations_read_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("foreign", "text"),
    [
        ("Mozilla/5.0 (X11) é", "Mozilla/5.0 (X11) é"),
        ("a\nfake line", "a\ufffdfake line"),
        ("\x9b31mred\x1b[0m", "\ufffd31mred\ufffd[0m"),
        ("txt\u202egpj", "txt\ufffdgpj"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("", ""),
        ("x" * 5000, "x" * 200),
    ],
)
def test_foreign_text_cannot_leave_its_line(foreign: str, text: str) -> None:
    assert one_line(foreign) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("wylding-woods", "wylding-woods"),
        ("\u202e42", "⟨U+202E⟩42"),
        ("4\u200b2", "4⟨U+200B⟩2"),
        ("a\nb\x7f", "a⟨U+000A⟩b⟨U+007F⟩"),
        ("\u05e2\u05d1\u05e8\u05d9\u05ea", "\u05e2\u05d1\u05e8\u05d9\u05ea"),
        ("\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467"),
    ],
)
def test_what_cannot_be_seen_in_a_text_is_written_out(text: str, seen: str) -> None:
    assert visible(text) == seen


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ("ada", True),
        ("\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}" * 9, True),
        ("\N{WOMAN}\U0001f3fd\u200d\N{PERSONAL COMPUTER}", True),
        ("\N{RAINBOW}\N{WAVING WHITE FLAG}\ufe0f\u200d\N{RAINBOW}", True),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", True),  # a Sinhala name begins so
        ("a\u200dda", False),
        ("ada\u200d", False),
        ("\u200dada", False),
        ("\N{WOMAN}\u200d", False),
        ("\N{WOMAN}\u200d\u200d\N{GIRL}", False),
        ("\u200d", False),
        ("ada\n", False),
        ("\u202eada", False),
    ],
)
def test_joiners_are_printable_where_they_join(text: str, is_so: bool) -> None:
    assert is_printable(text) is is_so


def test_a_line_keeps_joiners_that_join_beside_what_cannot_be_seen() -> None:
    family, unseen = "\N{WOMAN}\u200d\N{GIRL}", "\N{REPLACEMENT CHARACTER}"
    assert one_line(f"{family}\n\u200d") == f"{family}{unseen}{unseen}"


def test_a_thing_is_one_and_others_are_things() -> None:
    assert [counted(number, "link") for number in range(3)] == ["0 links", "1 link", "2 links"]
