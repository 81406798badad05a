"""Values of secrets with signs in them that end other values, and signs that are written in other ways."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.secrets_in_text import HIDDEN, UNKNOWN, Secrets
from proxy.core.text_tokens import MOST_TOKENS, REST

NAMES = (
    "token",
    "password",
    "secret",
    "authorization",
    "credential",
    "cookie",
    "session_id",
    "api_key",
    "ticket",
    "otp",
)
SECRETS = Secrets(NAMES)
R = "[redacted]"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        # Percent-encoded values, beside what is taken out wherever it stands.
        ("password=ab%26hunter2&token=xyz", f"password={R}&token={R}"),
        ('{"password":"ab%22hunter2","url":"/x?ticket=abc"}', f'{{"password":"{R}","url":"/x?ticket={R}"}}'),
        (
            '{\n "to": "/in?to=%2Fhome&token=abc",\n "n": 1\n}',
            f'{{\n "to": "/in?to=%2Fhome&token={R}",\n "n": 1\n}}',
        ),
        ("%0Aa=1&t=eyJh.eyJz.c2ln%0A", f"%0Aa=1&t={R}%0A"),
        # Strings that end in a backslash.
        (r'{"passwords": ["a\\", "]hunter2"]}', f'{{"passwords": {R}}}'),
        (r'{"credentials": {"domain": "CORP\\", "password": "p}hunter2"}}', f'{{"credentials": {R}}}'),
        (r'{"secret":{"dir":"C:\\","n":1},"chat":"hello"}', f'{{"secret":{R},"chat":"hello"}}'),
        (r'"{\"password\":\"a\\\\\",\"n\":1}"', rf'"{{\"password\":\"{R}\",\"n\":1}}"'),
        ("?q=%22password%22%3A%22a%5C%22hunter2%22%2C%22n%22", f"?q=%22password%22%3A%22{R}%22%2C%22n%22"),
        # Header lines, words of queries and of commands, with quotes and other signs in them.
        ('Cookie: a="1"; sid=hunter2\r\nX: y', f"Cookie: {R}\r\nX: y"),
        (r'{"m":"Cookie: a=\"1\"; sid=hunter2\r\nX: y"}', rf'{{"m":"Cookie: {R}\r\nX: y"}}'),
        ('Authorization: Digest u="joe", response="hunter2"\r\nX: y', f"Authorization: {R}\r\nX: y"),
        ("Authorization: Basic\r\n hunter2\r\nX: y", f"Authorization: {R}\r\nX: y"),
        (r'{"m":"Authorization: Basic\r\n hunter2\r\nX: y"}', rf'{{"m":"Authorization: {R}\r\nX: y"}}'),
        (r'{"m":"Password: a\\b hunter2","n":1}', f'{{"m":"Password: {R}","n":1}}'),
        (r'{"m":"Password: a\\new hunter2","n":1}', f'{{"m":"Password: {R}","n":1}}'),
        ("password: |\n  hunter2\nn: 1", f"password: {R}\nn: 1"),
        ("password: it's hunter2", f"password: {R}"),
        ("password=o'hunter2&x=1", f"password={R}&x=1"),
        ("password=a;hunter2&x=1", f"password={R}&x=1"),
        ("password=<hunter2>&x=1", f"password={R}&x=1"),
        ("Server=x;Password=hunter2;User=joe", f"Server=x;Password={R};User=joe"),
        ("token=hunter2, user=joe", f"token={R}, user=joe"),
        ("<a>token=hunter2</a>", f"<a>token={R}</a>"),
        ("password='a'hunter2 n", f"password='{R} n"),
        ('{"m":"password=hunter2","n":1}', f'{{"m":"password={R}","n":1}}'),
        ("--password a'hunter2 --x", f"--password {R} --x"),
        ('Cookie: "a"; sid=hunter2\r\nX: y', f'Cookie: "{R}\r\nX: y'),
        ("password: [a] hunter2\nn: 1", f"password: {R}\nn: 1"),
        ('{token: "hunter2", n: 1}', f'{{token: "{R}", n: 1}}'),
        ("password={a}hunter2&x=1", f"password={R}&x=1"),
        # Letters that are percent-encoded.
        ("pass%77ord=hunter2&n=10%30", f"password={R}&n=10%30"),
        ("t=eyJh%2EeyJz%2Ec2ln&n=10%30", f"t={R}&n=10%30"),
        # Names in attributes, and in paths.
        ('<e key="password">hunter2</e><e key="n">1</e>', f'<e key="password">{R}</e><e key="n">1</e>'),
        (
            '{"op":"add","path":"/a/password","value":"hunter2"}',
            f'{{"op":"add","path":"/a/password","value":"{R}"}}',
        ),
        # Short names are words, or begin or end them.
        *(
            (f'{{"{name}":1}}', f'{{"{name}":{R}}}')
            for name in ("OTP", "userOtp", "smsotp", "otp_code", "OTPCode", "x-otp")
        ),
        *(
            (f'{{"{name}":1}}',) * 2
            for name in ("rootPosition", "robotPlayers", "footprint", "slot_price", "hotpink")
        ),
        # Signs as JSON escapes them.
        (
            r'{"json":"{\u0022password\u0022:\u0022hunter2\u0022,\u0022n\u0022:1}"}',
            rf'{{"json":"{{\u0022password\u0022:\u0022{R}\u0022,\u0022n\u0022:1}}"}}',
        ),
        (
            r'{"json":"\u0022password\u0022:\u0022a\\\u0022hunter2\\\\\u0022,\u0022n\u0022:1"}',
            rf'{{"json":"\u0022password\u0022:\u0022{R}\u0022,\u0022n\u0022:1"}}',
        ),
        (
            r'{"xml":"\u003cpassword\u003ehunter2\u003c/password\u003eok"}',
            rf'{{"xml":"\u003cpassword\u003e{R}\u003c/password\u003eok"}}',
        ),
        (r'{"url":"/x?password\u003dhunter2\u0026n=1"}', rf'{{"url":"/x?password\u003d{R}\u0026n=1"}}'),
        # Long names.
        (
            '{"Password of the account that we should move":"hunter2"}',
            f'{{"Password of the account that we should move":"{R}"}}',
        ),
        ("token[a][b][c][d][e][f][g]=hunter2&x=1", f"token[a][b][c][d][e][f][g]={R}&x=1"),
        (
            '{"name":"the password of the account that we should move over","value":"hunter2"}',
            f'{{"name":"the password of the account that we should move over","value":"{R}"}}',
        ),
        # What may name a value is not one itself.
        ('{"type":"ticket","seat":"A1"}', '{"type":"ticket","seat":"A1"}'),
        ('{"event":"token","data":{"x":1}}', '{"event":"token","data":{"x":1}}'),
        ('{"event":"token","value":{"x":1}}', f'{{"event":"token","value":{R}}}'),
    ],
)
def test_a_secret_goes_whatever_signs_it_has_and_what_follows_stays(said: str, shown: str) -> None:
    assert SECRETS.without(said) == shown


def test_binary_data_is_shown_up_to_a_short_name_that_is_a_word_or_begins_or_ends_one() -> None:
    for said in (b"\xa3otp\xa31", b"\xa7userOtp\xa31", b"\xa7otpCode1", b"\xa6smsOtp1", b"o\0t\0p\0\1"):
        assert SECRETS.first_in(said) == said.lower().index(b"p") + 1
    for said in (b"\xacrootPosition\x93", b"footprint", b"hotpink", b"slot_price", b"r\0o\0o\0t\0P\0o\0s\0"):
        assert SECRETS.first_in(said) == len(said)


@pytest.mark.parametrize(
    "said",
    [
        '{"name":"pass···d","type":"text","value":"hunter2"}',
        '{"···":"password","id":7,"value":"hunter2","n":1}',
        '{"value":"hunter2","n":1,"name":"···","x":1}',
        '{"value":"hunter2","name":"user_to···"}',
        '{"value":"hunter2","a":{"b":"···","c":1}}',
        '{"pass···":":hunter2"}',
        r'{"pass···":"x, \"y\": hunter2"}',
        '<pass···>"a": hunter2</password>',
        '{"secrets":{"a":"x···y","b":"}hunter2"},"n":1}',
        '{"secrets":{"a":···"b":"x"},"c":"hunter2"},"n":1}',
        '{"password":"a···, "hunter2"}',
    ],
)
def test_what_is_not_known_may_name_what_is_open(said: str) -> None:
    shown = SECRETS.without(said.replace("·", UNKNOWN))
    assert "hunter2" not in shown
    assert shown.startswith(said[:2])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"a":{"b":"···","c":1},"d":{"e":2}}', f'{{"a":{{"b":"···{HIDDEN}"d":{{"e":2}}}}'),
        ('···chat","n":2,"o":[{"value":3}]}', f'···{HIDDEN}"n":2,"o":[{{"value":3}}]}}'),
        ('{"a":"···", "d":{"e":1}}', f'{{"a":"···{HIDDEN}"d":{{"e":1}}}}'),
        # Objects that may have begun in what is not known; what was cut; what is not known a second time.
        ('{"a":1···"c":"x","d":"hunter2"},"n":1}', f'{{"a":1···{HIDDEN}"n":1}}'),
        ('{"a":{"b":1···,"d":"hunter2"}}', f'{{"a":{{"b":1···{HIDDEN}'),
        ('["a",{"b":"···","c":"hunter2"}]', f'["a",{{"b":"···{HIDDEN}'),
        ('{"a":"···","b":1,"c":"···x","d":2}', f'{{"a":"···{HIDDEN}"d":2}}'),
    ],
)
def test_what_is_not_known_names_no_other_key_of_the_outermost_object(said: str, shown: str) -> None:
    assert SECRETS.without(said.replace("·", UNKNOWN)) == shown
    assert (
        SECRETS.without(said.replace("·", UNKNOWN), is_whole=False) == f"{shown.partition(HIDDEN)[0]}{HIDDEN}"
    )


def test_of_a_text_that_is_too_much_to_look_at_the_rest_is_hidden() -> None:
    said = '{"password":"hunter2","n":[' + "1," * MOST_TOKENS + '"hunter2"'
    shown = SECRETS.without(said)
    assert shown.startswith(f'{{"password":"{R}","n":[1,1,')
    assert shown.endswith((f",1,{REST}", f",1{REST}"))
    for behind in ('"', "[", "{", "<password>", "password: ", "password="):
        shown = SECRETS.without(
            "1," * (MOST_TOKENS // 2 - 3) + "\npassword=" + behind + "hunter2," * MOST_TOKENS
        )
        assert "hunter2" not in shown


PIECES = (
    *"\"'{}[]:,=&;<>/%-\\",
    "\n",
    " ",
    "\t",
    "//",
    "/*",
    "*/",
    "\u2028",
    "é",
    "😀",
    "\x7f",
    "&#34;",
    "it's",
    '5"',
)
ODD = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
NOISE = st.lists(st.sampled_from((*PIECES, "name", "value", "n", "--y", "<b>")), max_size=6).map("".join)
HIDES = st.builds("{}hunter2{}".format, ODD, ODD)
VALUE = (
    HIDES | st.tuples(HIDES, NOISE, HIDES).map(list) | st.builds(lambda a, b: {"a": a, b: [a]}, HIDES, NOISE)
)
NAME = st.sampled_from(
    ["token", "user_token", "Authorization", "api-key", "password", "X-Session-Id", "myOtp"]
)
OTHER = st.recursive(
    st.none() | st.integers() | NOISE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NOISE, inner, max_size=3),
    max_leaves=8,
)
SAID = st.one_of(
    st.builds(lambda name, value: {name: value}, NAME, VALUE),
    st.builds(lambda name, value: [name, value], st.sampled_from(["Token", "Authorization", "OTP"]), VALUE),
    st.builds(lambda name, x, value: {"name": name, "x": x, "value": value}, NAME, OTHER, VALUE),
    st.builds(lambda name, x, value: {"value": value, "x": x, "name": name}, NAME, OTHER, VALUE),
)


def as_dotnet_does(said: str) -> str:
    """JSON in a string, whose quotes and brackets of tags are escaped as codes."""
    for sign in "\"'<>&":
        said = said.replace("\\" + sign, sign) if sign == "'" else said
    quoted = json.dumps(said)[1:-1].replace('\\"', "\\u0022")
    for sign in "'<>&+":
        quoted = quoted.replace(sign, f"\\u00{ord(sign):02x}")
    return f'{{"body":"{quoted}"}}'


WAYS: list[Callable[[str], str]] = [
    lambda said: json.dumps({"body": said}),
    lambda said: json.dumps([said, 'a"b'], indent=1, ensure_ascii=False),
    as_dotnet_does,
    lambda said: f"a=1&q={quote(said, safe='')}&b=2",
]


@settings(max_examples=400)
@given(
    before=OTHER,
    secret=SAID,
    after=OTHER,
    ways=st.lists(st.sampled_from(WAYS), max_size=2),
    indent=st.sampled_from([None, 1, "\t"]),
    ascii_only=st.booleans(),
)
def test_no_sign_in_whole_json_shows_a_secret(
    *,
    before: object,
    secret: object,
    after: object,
    ways: list[Callable[[str], str]],
    indent: int | str | None,
    ascii_only: bool,
) -> None:
    said = json.dumps({"b": before, "x": secret, "a": after}, ensure_ascii=ascii_only, indent=indent)
    for way in ways:
        said = way(said)
    assert "hunter2" not in SECRETS.without(said)


@settings(max_examples=400)
@given(
    before=OTHER,
    secret=SAID,
    after=OTHER,
    runs=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([1, 3, 5, 10, 40])), min_size=1, max_size=4),
    quoted=st.integers(0, 2),
    indent=st.sampled_from([None, 1]),
)
def test_no_byte_that_is_not_known_shows_a_secret(
    *,
    before: object,
    secret: object,
    after: object,
    runs: list[tuple[float, int]],
    quoted: int,
    indent: int | None,
) -> None:
    said = json.dumps({"b": before, "x": secret, "a": after}, indent=indent)
    for _ in range(quoted):
        said = json.dumps({"body": said, "more": {"z": 1}}, indent=indent)
    for where, size in runs:
        start = int(where * len(said))
        gone = min(size, len(said) - start)
        said = f"{said[:start]}{UNKNOWN * gone}{said[start + gone :]}"
    assert "hunter2" not in SECRETS.without(said)
