import pytest

from proxy.core.human import duration, size


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
