"""No client can write a text that takes long: a node's loop, which carries all links, looks through it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from proxy.core.secrets_in_text import UNKNOWN, Secrets
from proxy.core.tapping import MOST_SHOWN_BYTES

# As many as by default, and as long.
NAMES = """
token password passwd pwd passphrase passcode secret authorization credential cookie session_key session_id
api_key access_key private_key signature ticket jwt bearer otp cvv card_number
"""
SECRETS = Secrets(NAMES.split())
ORDINARY = '{"type":"chat","text":"hello, how are you"}'


@pytest.mark.parametrize(
    "piece",
    [
        *('v%3A\\\\":%22%3D=', "'v%3D]\\\"=%22%3Dname=", "':name=\\\\\":v=", ":v%3Aname=\\\"='"),
        # Keys of values, each with a name to ask for; and what grows where it is hidden.
        *(
            ":v:'",
            "=v:'",
            "='",
            "{>",
            '=":v=' + UNKNOWN + "'\"",
            '":v=' + UNKNOWN * 3 + '"',
            '=":v=' + UNKNOWN + ']"',
        ),
        *('"', "\\", '\\"', '"token":"', "a:", "token:", '{"', "<token", ":,", "token=[{", UNKNOWN + '"'),
        *('"token",1,', '"token",\\,', "a>", ">", "<token>"),
        *(
            '"token":/*',
            "\\n:",
            "]=",
            "token%3D",
            "<token></b>",
            '"token":\n \n',
            "\n :",
            UNKNOWN + '":{',
            "/>",
        ),
        *(UNKNOWN + '":\\":', "token[a]="),
        *('{"value":', '{"value":"x","name":"token",', "value=", "<value=", "{<", "{<}", '"{', '{"\\"', "['"),
        *('"value":\n \n', '"name":"', '"name":', "name=token ", '\\"\\\\"', "it's ", "value: 'x "),
        *('form-data; name="token"', 'form-data; name="token"\n\n', '--b\nform-data; name="token"\n\nx\n'),
        *("form-data name=", "--token ", "--token '", "--token --", "-token\t", '"--token",'),
        *("://", "://a:", "://:@", ":\\/\\/", "://a@", "%3A%2F%2F", "%3A%2F%2Fa%3A", "%2525253A", ":\\"),
        *(
            "<token>x",
            "<token>x\n",
            "<a><token>",
            "<token>\n",
            "<token>\\n",
            '<token>",',
            '<token>"',
            "<token><",
            "<\\/token>",
        ),
    ],
)
@pytest.mark.timing
def test_no_client_can_write_a_text_that_takes_long(piece: str) -> None:
    size = MOST_SHOWN_BYTES - len("token")
    ordinary, odd = _least_seconds([(each * size)[:size] + "token" for each in (ORDINARY, piece)])
    assert odd < 3 * ordinary


def _least_seconds(texts: list[str]) -> Iterator[float]:
    """Of this process alone, of several times, by turns: whatever else slows it slows all of them."""
    took = [[_seconds(said) for said in texts] for _ in range(9)]
    return map(min, zip(*took, strict=True))


def _seconds(said: str) -> float:
    began = time.process_time()
    SECRETS.without(said)
    return time.process_time() - began
