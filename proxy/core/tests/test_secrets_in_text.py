"""Secrets that stand beside their names do not come out, however a message says them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.secrets_in_text import HIDDEN, UNKNOWN, Secrets

SECRETS = Secrets(["token", "pass-word", "secret", "authorization", "API_KEY", "cookie", "passcode"])
R = "[redacted]"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"token":"abc","n":1}', f'{{"token":"{R}","n":1}}'),
        ('{"accessToken" : 12345, "x":[1,2]}', f'{{"accessToken" : {R}, "x":[1,2]}}'),
        ('{"secret":{"a":"}","b":[1]},"z":"ok"}', f'{{"secret":{R},"z":"ok"}}'),
        ('{"tokens":["a","b"],"k":1}', f'{{"tokens":{R},"k":1}}'),
        ('42["login",{"api-key":"ab\\"cd","u":"bob"}]', f'42["login",{{"api-key":"{R}","u":"bob"}}]'),
        (
            r'{"body":"{\"password\":\"x\\\"y\",\"k\":\"v\"}"}',
            rf'{{"body":"{{\"password\":\"{R}\",\"k\":\"v\"}}"}}',
        ),
        (r'{"\u0074oken":"abc"}', rf'{{"\u0074oken":"{R}"}}'),
        ('{"token":"ab', f'{{"token":"{R}'),
        ('{"a":["b"],",token":"abc"}', f'{{"a":["b"],",token":"{R}"}}'),
        ('5" {"token":"abc"}', f'5" {{"token":"{R}"}}'),
        ("{'token': 'abc', 'x': 1}", f"{{'token': '{R}', 'x': 1}}"),
        ("a=1&token=abc&x=2", f"a=1&token={R}&x=2"),
        ("Authorization: Basic YTpi\r\nX: y", f"Authorization: {R}\r\nX: y"),
        ("CONNECT\npasscode:abc\n\n\0", f"CONNECT\npasscode:{R}\n\n\0"),
        ("<a><password x='1'>abc</password><b>1</b></a>", f"<a><password x='1'>{R}</password><b>1</b></a>"),
        ('[["Authorization","Bearer x"],["a","b"]]', f'[["Authorization","{R}"],["a","b"]]'),
        ('{"name":"Cookie","value":"a=b","x":"y"}', f'{{"name":"Cookie","value":"{R}","x":"y"}}'),
        ("it is Bearer abcdefghij", f"it is {R}"),
        ('{"n":null,"password":null,"m":true}', f'{{"n":null,"password":{R},"m":true}}'),
        # Over several lines, and with lines and tabs that are escaped.
        ('{"token":\n"abc","n":1}', f'{{"token":\n"{R}","n":1}}'),
        ('{"token"\n: "abc","n":1}', f'{{"token"\n: "{R}","n":1}}'),
        ('{"secrets":\n  {"user":"a"},\n"n":1}', f'{{"secrets":\n  {R},\n"n":1}}'),
        ('[\n "Cookie",\n "abc"\n]', f'[\n "Cookie",\n "{R}"\n]'),
        ('{"name": "Cookie",\n "value":\n "abc"}', f'{{"name": "Cookie",\n "value":\n "{R}"}}'),
        (r'"{\n\"token\"\n:\n\"abc\",\n\"n\":1}"', rf'"{{\n\"token\"\n:\n\"{R}\",\n\"n\":1}}"'),
        (r'"{\"token\":\t\"abc\",\"n\":1}"', rf'"{{\"token\":\t\"{R}\",\"n\":1}}"'),
        (r'"{\"token\":\n123,\"n\":1}"', rf'"{{\"token\":\{R},\"n\":1}}"'),
        ('{"token":\u00a0"abc","n":1}', f'{{"token":\u00a0"{R}","n":1}}'),
        ('{"token":/* c, "d" */"abc","n":1}', f'{{"token":/* c, "d" */"{R}","n":1}}'),
        ('{"token":\ufeff"abc","n":1}', f'{{"token":{R},"n":1}}'),
        ('{"token":"""abc""","n":1}', f'{{"token":"{R}","n":1}}'),
        ("Authorization:\r\n a\r\nX: y", f"Authorization:\r\n {R}\r\nX: y"),
        # XML with prefixes, with elements within, cut.
        ("<a><w:Token>abc</w:Token><b>1</b></a>", f"<a><w:Token>{R}</w:Token><b>1</b></a>"),
        ("<token><![CDATA[abc]]></token><b>1</b>", f"<token>{R}</token><b>1</b>"),
        ("<token><value>abc</value></token><b>1</b>", f"<token>{R}</token><b>1</b>"),
        (r'{"x":"<token>abc<\/token>","n":1}', rf'{{"x":"<token>{R}<\/token>","n":1}}'),
        ("<token><value>ab", f"<token>{R}"),
        ("<token/><b>1</b>", "<token/><b>1</b>"),
        # Forms.
        ("user[passcode]=abc&x=1", f"user[passcode]={R}&x=1"),
        ("passcode[]=abc&x=1", f"passcode[]={R}&x=1"),
        ("user%5Bpasscode%5D=abc&x=1", f"user%5Bpasscode%5D={R}&x=1"),
        ("passcode%3Dabc%26x%3D1", f"passcode%3D{R}%26x%3D1"),
        ("passcode%253Dabc%2526x%253D1", f"passcode%253D{R}%2526x%253D1"),
        ("passcode=a%26bc%3Dd&x=1", f"passcode={R}&x=1"),
        (
            "?q=%7B%22cookie%22%3A%22abc%22%2C%22n%22%3A1%7D",
            f"?q=%7B%22cookie%22%3A%22{R}%22%2C%22n%22%3A1%7D",
        ),
        ('params["cookie"] => "abc", "n" => 1', f'params["cookie"] => "{R}", "n" => 1'),
        ("**Cookie**: abc\nn", f"**Cookie**: {R}\nn"),
    ],
)
def test_a_secret_goes_and_the_rest_stays(said: str, shown: str) -> None:
    assert SECRETS.without(said) == shown


@pytest.mark.parametrize(
    "said",
    ["", "hello", '{"msg":"my token is lost"}', '{"a":[1,{"b":"c, d"}],"e":"f=g"}', "12:30 <b>x</b>", '"'],
)
def test_what_names_no_secret_is_as_it_was(said: str) -> None:
    assert SECRETS.without(said) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('{"m":"Cookie: abc","n":"b"}', f'{{"m":"Cookie: {R}","n":"b"}}'),
        ('{"url":"/x?cookie=abc","n":1,"m":[]}', f'{{"url":"/x?cookie={R}","n":1,"m":[]}}'),
        ('{\n "cookie": "abc",\n "m": "hello"\n}', f'{{\n "cookie": "{R}",\n "m": "hello"\n}}'),
        (
            '{"m":"the cookie, \'it\' is 100%, <b>gone</b>"}',
            '{"m":"the cookie, \'it\' is 100%, <b>gone</b>"}',
        ),
        ("a cookie [new] = nice, b", "a cookie [new] = nice, b"),
        ("my token is\n\nlost: I had it", "my token is\n\nlost: I had it"),
        ('{"a":["cookies","b"],"n":1}', '{"a":["cookies","b"],"n":1}'),
        ("see <b>my cookie</b>, 5 > 3", "see <b>my cookie</b>, 5 > 3"),
        ("Cookie:\n\nhello", "Cookie:\n\nhello"),
    ],
)
def test_what_stands_around_a_secret_can_be_read(said: str, shown: str) -> None:
    assert SECRETS.without(said) == shown


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


SECRET_OF = {
    "key": {"user_token": "hunter2hunter2"},
    "object": {"user_token": {"user": "hunter2", "more": ["hunter2"]}},
    "named": [{"name": "Token", "value": "hunter2hunter2"}],
    "listed": ["Token", "hunter2hunter2"],
}


@given(
    before=VALUES,
    after=VALUES,
    way=st.sampled_from(sorted(SECRET_OF)),
    quoted=st.integers(0, 2),
    cut=st.integers(0, 30),
    indent=st.sampled_from([None, 0, 1, "\t"]),
    ascii_only=st.booleans(),
)
def test_a_secret_goes_wherever_it_stands_in_json(
    *,
    before: object,
    after: object,
    way: str,
    quoted: int,
    cut: int,
    indent: int | str | None,
    ascii_only: bool,
) -> None:
    said = json.dumps({"b": before, "x": SECRET_OF[way], "a": after}, ensure_ascii=ascii_only, indent=indent)
    for _ in range(quoted):
        said = json.dumps({"body": said}, ensure_ascii=ascii_only, indent=indent)
    assert "hunter2" not in SECRETS.without(said[: len(said) - cut])


@given(st.text(alphabet='{}[]":,\\ntoken=<>&; \u00e9\n' + UNKNOWN, max_size=300))
def test_no_text_is_too_odd(said: str) -> None:
    assert UNKNOWN not in SECRETS.without(said)


def test_what_may_be_a_secret_since_its_name_is_not_known_is_hidden() -> None:
    gone = UNKNOWN * 10
    assert SECRETS.without(f'{gone}hunter2","n":2,"token":"x"}}') == (
        f'········{HIDDEN}"n":2,"token":"{R}"}}'
    )
    assert (
        SECRETS.without(f'{{"n":2,"t{gone}":"hunter2","m":"ok"}}') == f'{{"n":2,"t········{HIDDEN}"m":"ok"}}'
    )
    assert SECRETS.without(f"login {gone} hunter2") == f"login ········{HIDDEN}"
    assert SECRETS.without(f"all of it{gone}") == "all of it········"


@pytest.mark.parametrize("name", [f'"{UNKNOWN * 8}"', f'"cred{UNKNOWN * 4}"', f"{UNKNOWN * 8}"])
def test_nothing_within_a_value_whose_name_is_not_known_is_shown(name: str) -> None:
    inner = '{"user":"hunter2","pin":{"a":"}]}","b":["hunter2"]},"c":"hunter2"}'
    for value in (inner, f"[{inner},{inner}]", json.dumps(inner), '"value":"hunter2"'):
        shown = SECRETS.without(f'{{"o":1,{name}:{value}}},{{"next":1}}')
        assert shown.startswith('{"o":1,')
        assert "hunter2" not in shown
        if value in (inner, f"[{inner},{inner}]"):
            assert shown.endswith(f'{HIDDEN}"next":1}}')
    assert "hunter2" not in SECRETS.without(f'{{"name":{name},"value":"hunter2"}}')
    assert "hunter2" not in SECRETS.without(f'{{{name}:{{"a":{name},"c":"hunter2"}}}}')


ORDINARY = '{"type":"chat","text":"hello, how are you"}'


@pytest.mark.parametrize(
    "piece",
    [
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
    ],
)
@pytest.mark.timing
def test_no_client_can_write_a_text_that_takes_long(piece: str) -> None:
    ordinary, odd = (_seconds_taken((text * 8192)[:8160] + "token") for text in (ORDINARY, piece))
    assert odd < 4 * ordinary


def _seconds_taken(said: str) -> float:
    """The least of several times, of this process alone."""
    took = []
    for _ in range(5):
        began = time.process_time()
        SECRETS.without(said)
        took.append(time.process_time() - began)
    return min(took)


def test_binary_is_shown_up_to_the_first_name_of_a_secret() -> None:
    assert SECRETS.first_in(b"\x85\xa5Token\xa3abc") == 7
    assert SECRETS.first_in(b"\x01t\x00o\x00k\x00e\x00n\x00a\x00") == 10
    assert SECRETS.first_in(b"\x01\x02plain") == 7
    assert SECRETS.first_in(b"\x01\x02eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl") == 2


def test_without_names_only_tokens_go() -> None:
    nothing = Secrets([])
    assert nothing.without('{"password":"x"}') == '{"password":"x"}'
    assert nothing.without("?token=abc") == f"?token={R}"
    assert nothing.first_in(b"token") == 5
