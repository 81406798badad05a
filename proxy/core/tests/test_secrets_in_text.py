"""Secrets that stand beside their names do not come out, however a message says them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.secrets_in_text import HIDDEN, UNKNOWN, Secrets

SECRETS = Secrets(["token", "pass-word", "secret", "authorization", "API_KEY", "cookie", "passcode"])
R = "[redacted]"
PART = "--b\nContent-Disposition: form-data; "


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
        # XML that is not closed: a line of it, or the rest of a string.
        ("<a><token>abc<b>1</b></a>\nok", f"<a><token>{R}\nok"),
        ("<token>\r\n  abc\r\nok", f"<token>{R}\r\nok"),
        ('{"m":"the <token> abc","n":"ok"}', f'{{"m":"the <token>{R}","n":"ok"}}'),
        (r'{"m":"<token> abc\nok","n":"ok"}', rf'{{"m":"<token>{R}\nok","n":"ok"}}'),
        ('{"m":"my <token>","n":"ok"}', '{"m":"my <token>","n":"ok"}'),
        ('<token>"abc","abc"\nok', f'<token>"{R}"\nok'),
        ('<token>{"a":"abc","b":"abc"}\nok', f"<token>{R}\nok"),
        ("<token>a<cookie>b</cookie>\nok", f"<token>{R}\nok"),
        # A value ahead of its name, or with others between.
        ('{"value": "abc", "name": "user-token"}', f'{{"value": "{R}", "name": "user-token"}}'),
        ('{"value":{"a":"}"},"x":1,"name":"Cookie"}', f'{{"value":{R},"x":1,"name":"Cookie"}}'),
        (
            '[{"value":12,"key":"cookie"},{"value":3,"key":"n"}]',
            f'[{{"value":{R},"key":"cookie"}},{{"value":3,"key":"n"}}]',
        ),
        (
            '{"name":"my_token","x":[1,{"y":2}],"value":"abc"}',
            f'{{"name":"my_token","x":[1,{{"y":2}}],"value":"{R}"}}',
        ),
        (
            r'{"b":"{\"value\":\"a}c\",\"name\":\"token\"}"}',
            rf'{{"b":"{{\"value\":\"{R}\",\"name\":\"token\"}}"}}',
        ),
        ('5" it\'s {"value":"abc","name":"token"}', f'5" it\'s {{"value":"{R}","name":"token"}}'),
        ('<input value="abc" name="csrf_token"><b>1</b>', f'<input value="{R}" name="csrf_token"><b>1</b>'),
        ("value=abc&name=cookie&x=1", f"value={R}&name=cookie&x=1"),
        ("- name: cookie\n  value: abc\n", f"- name: cookie\n  value: {R}\n"),
        # Forms that are sent in parts.
        (
            '--b1\r\nContent-Disposition: form-data; name="cookie"\r\n\r\nabc\nabc\r\n--b1--\r\n',
            f'--b1\r\nContent-Disposition: form-data; name="cookie"\r\n\r\n{R}\r\n--b1--\r\n',
        ),
        (
            f'{PART}name="n"\n\n1\n{PART}name="secret"; filename="k"\nX: y\n\n--A\nabc\n{PART}name="m"\n\n2',
            f'{PART}name="n"\n\n1\n{PART}name="secret"; filename="k"\nX: y\n\n{R}\n{PART}name="m"\n\n2',
        ),
        (
            r'{"body":"--b\r\nContent-Disposition: form-data; name=\"cookie\"\r\n\r\nabc\r\n--b--","n":1}',
            rf'{{"body":"--b\r\nContent-Disposition: form-data; name=\"cookie\"{R}\n--b--","n":1}}',
        ),
        # Commands.
        ("run --secret abc --user joe", f"run --secret {R} --user joe"),
        ("run --secret=abc --user joe", f"run --secret={R} --user joe"),
        ("run -secret 'a b' x", f"run -secret '{R}' x"),
        ('{"cmd":"run --db-secret a&b;c","n":1}', f'{{"cmd":"run --db-secret {R}","n":1}}'),
        ('["run","--db-secret","abc","x"]', f'["run","--db-secret","{R}","x"]'),
        ("run --no-secret --user joe", "run --no-secret --user joe"),
        ("a - secret thing", "a - secret thing"),
        # Addresses.
        ("redis://:abc@host:1/2", f"redis://:{R}@host:1/2"),
        ("see postgres://joe:a@b:c@host/db?x=1, ok", f"see postgres://joe:{R}@host/db?x=1, ok"),
        (r'{"url":"amqp:\/\/joe:abc@host\/x"}', rf'{{"url":"amqp:\/\/joe:{R}@host\/x"}}'),
        ("?to=wss%3A%2F%2Fjoe%3Aabc%40host%2Fx&n=1", f"?to=wss%3A%2F%2Fjoe%3A{R}%40host%2Fx&n=1"),
        ("redis://:abc@host", f"redis://:{R}@host"),
        ("?to=wss%253A%252F%252Fjoe%253Aabc%2540host", f"?to=wss%253A%252F%252Fjoe%253A{R}%2540host"),
        ("http://host:8080/a@b ssh://git@host https://x", "http://host:8080/a@b ssh://git@host https://x"),
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


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<token>abc\nabc", f"<token>{R}"),
        ("redis://:ab", f"redis://:{R}"),
        ("redis%3A%2F%2F%3Aab", f"redis%3A%2F%2F%3A{R}"),
        ("http://host:8080", "http://host:8080"),
        ("http://host:", "http://host:"),
    ],
)
def test_what_is_cut_may_have_been_cut_within_a_secret(said: str, shown: str) -> None:
    assert SECRETS.without(said, is_whole=False) == shown
    assert SECRETS.without("http://joe:abc") == "http://joe:abc", "no host follows"


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
    "ahead": [{"value": "hunter2hunter2", "name": "my token"}],
    "apart": {"key": "Token", "more": [{"a": "}"}], "value": {"a": ["hunter2"], "b": "hunter2"}},
    "all ahead": {"value": [{"a": "hunter2"}, "hunter2"], "more": {"value": 1}, "name": "user_token"},
    "argument": ["run", "--user-token", "hunter2hunter2", "x"],
    "option": "run --user-token hunter2hunter2 --more x",
    "address": "see redis://joe:hunter2hunter2@host/1",
    "address of nobody": "redis://:hunter2hunter2@host",
    "part": '--b7\r\nContent-Disposition: form-data; name="token"\r\n\r\nhunter2\r\nhunter2\r\n--b7--',
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
    shown = SECRETS.without(said[: len(said) - cut], is_whole=not cut)
    # Cut before its name, nobody can know what a value is.
    assert "hunter2" not in shown or (cut and "ahead" in way)


PIECES = (
    *(
        "\"'{}[]<>:=, ",
        '\\"',
        "\\n",
        "value",
        "name",
        "token",
        UNKNOWN,
        "--token ",
        "form-data",
        "--b",
        "\n\n",
        "\r\n",
    ),
    *("://", "@", "</token>", "<token>", "%22", "%3D"),
)
ODD = st.text(alphabet='{}[]":,\\ntoken=<>&; \u00e9\n' + UNKNOWN, max_size=300) | st.lists(
    st.sampled_from([*PIECES[0], *PIECES[1:]]), max_size=60
).map("".join)


@given(ODD, st.booleans())
def test_no_text_is_too_odd(said: str, is_whole: bool) -> None:
    assert UNKNOWN not in SECRETS.without(said, is_whole=is_whole)


@given(
    before=st.text(max_size=30),
    name=st.sampled_from(["token", "user[token]", "my-token"]),
    value=st.text(alphabet='a;-="\r\n{}', max_size=30),
    line=st.sampled_from(["\r\n", "\n"]),
    more=st.sampled_from(["", '; filename="x"', '; filename="x"\r\nContent-Type: text/plain']),
    cut=st.integers(0, 40),
)
def test_a_part_of_a_form_goes_whatever_is_in_it(
    *, before: str, name: str, value: str, line: str, more: str, cut: int
) -> None:
    head = f'--Xb.7{line}Content-Disposition: form-data; name="{name}"{more}{line}{line}'
    said = f"{head}hunter2{value}hunter2{line}--Xb.7"
    assert "hunter2" not in SECRETS.without(said[: len(said) - cut], is_whole=not cut)
    whole = SECRETS.without(f"--Xb.7{line}X: y{line}{line}{before}{line}{said}--{line}")
    assert "hunter2" not in whole
    assert f"{line}--Xb.7--" in whole


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
