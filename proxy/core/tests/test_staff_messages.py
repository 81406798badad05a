import pytest

from proxy.core.staff_messages import MAX_CHARS, staff_message


def test_a_message_is_plain_text_in_lines() -> None:
    assert staff_message(" We restart\r\nat noon 👍\r") == {
        "type": "staff.message",
        "text": "We restart\nat noon 👍",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (" \n ", "has a text"),
        ("x" * (MAX_CHARS + 1), "at most 500 characters; this one has 501"),
        ("a\x1b[31m", "plain"),
        ("a\tb", "plain"),
    ],
)
def test_what_nobody_could_read_is_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        staff_message(text)
