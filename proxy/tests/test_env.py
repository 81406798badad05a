from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import ConnectionLimits, LinkBounds, Rate
from proxy.env import Env, SettingError


def env(**variables: str) -> Env:
    return Env(variables)


def complaint(read: Any) -> str:
    """The one line with which `read()` stops the start."""
    with pytest.raises(SettingError) as stopped:
        read()
    line = str(stopped.value.code)
    assert "\n" not in line
    return line


def test_an_unset_and_an_empty_variable_have_the_default() -> None:
    assert env().integer("PORT", 8666) == 8666
    assert env(PORT="").integer("PORT", 8666) == 8666
    assert env(PORT="  ").integer("PORT", 8666) == 8666


def test_blanks_around_a_value_do_not_count() -> None:
    assert env(PORT=" 9000\n").integer("PORT", 8666) == 9000


def test_a_wrong_value_is_named_with_what_it_takes_and_what_it_was() -> None:
    line = complaint(lambda: env(PORT="http").integer("PORT", 8666, most=65535))
    assert line == "PORT: must be a whole number from 1 to 65535, got 'http'"


def test_a_secret_is_not_shown_even_when_it_is_wrong() -> None:
    def refuse(_: str) -> str:
        raise ValueError("hunter2")

    line = complaint(lambda: env(KEY="hunter2").secret("KEY", parse=refuse, expected="a key"))
    assert line == "KEY: must be a key"


@pytest.mark.parametrize("word", ["ws://user:hunter2@host", "a,http://:hunter2@host:1/x,b", "x" * 5000])
def test_what_is_shown_of_a_wrong_value_has_no_password_and_an_end(word: str) -> None:
    line = complaint(lambda: env(URLS=word).service_urls("URLS"))
    assert "hunter2" not in line
    assert len(line) < 300


# --- Files -----
def test_a_file_holds_what_should_not_stand_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    assert env(KEY_FILE=str(path)).text("KEY") == "hunter2"


def test_both_the_variable_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    assert complaint(lambda: env(KEY="hunter2", KEY_FILE="/x").text("KEY")) == (
        "KEY: must be set once, either as KEY or as KEY_FILE"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").write_text("\n")
    for name in ("missing", ".", "binary", "empty"):
        path = str(tmp_path / name)
        line = complaint(lambda path=path: env(KEY_FILE=path).text("KEY"))
        assert line.startswith("KEY_FILE: must be the path of a ")
        assert str(tmp_path) in line


# --- Readers -----
READERS: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = [
    ("flag", False, {"true": True, "ON": True, "1": True, "No": False}, {"ja": 0, "2": 0}),
    ("integer", 5, {"1": 1, "007": 7}, {"0": 0, "-1": 0, "1.5": 0, "1_0": 0, "٣": 0, "9" * 5000: 0, "+1": 0}),
    ("seconds", 5, {"1": 1, "0.5": 0.5, "1e2": 100}, {"0": 0, "-1": 0, "nan": 0, "inf": 0, "5s": 0}),
    ("rate", "1/s", {"20/s": Rate(20, 1), "1.5/m": Rate(1.5, 60)}, {"20": 0, "0/s": 0, "-1/s": 0, "5/d": 0}),
    ("service_url", "", {"http://h:1/p": "http://h:1/p", "wss://h": "wss://h"},
     {"h:1": 0, "ftp://h": 0, "http://": 0, "http://h:x": 0, "http://h?a=1": 0, "http://u:p@h": 0}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "default", "good", "wrong"), READERS, ids=[reader[0] for reader in READERS]
)
def test_each_reader_takes_the_right_and_refuses_the_wrong(
    reader: str, default: Any, good: dict[str, Any], wrong: dict[str, Any]
) -> None:
    for raw, value in good.items():
        assert getattr(env(NAME=raw), reader)("NAME", default) == value
    for raw in wrong:
        assert complaint(lambda raw=raw: getattr(env(NAME=raw), reader)("NAME", default)).startswith("NAME: ")


def test_a_choice_may_be_written_in_any_case() -> None:
    assert env(LEVEL="debug").choice("LEVEL", "INFO", ("DEBUG", "INFO")) == "DEBUG"
    assert complaint(lambda: env(LEVEL="loud").choice("LEVEL", "INFO", ("DEBUG", "INFO"))) == (
        "LEVEL: must be one of DEBUG, INFO, got 'loud'"
    )


@given(st.text(st.characters(exclude_characters="\x00")), st.sampled_from(READERS))
def test_any_text_is_a_value_or_a_complaint(text: str, reader: tuple[str, Any, Any, Any]) -> None:
    try:
        getattr(env(NAME=text), reader[0])("NAME", reader[1])
    except SettingError as stopped:
        assert str(stopped.code).startswith("NAME: must be ")  # noqa: PT017  either outcome is right


def test_variables_that_look_like_one_that_is_read_are_named_with_it() -> None:
    read = env(
        STUDIO_WS_URL="ws://a:1", DATABSE_URL_FILE="/run/url", PATH="/bin", REDIS_URL="redis://h", HOME="/"
    )
    for name in ("STUDIO_WS_URLS", "REDIS_URL", "DATABASE_URL"):
        read.text(name)
    assert read.misspelt() == {"STUDIO_WS_URL": "STUDIO_WS_URLS", "DATABSE_URL_FILE": "DATABASE_URL_FILE"}


def test_what_a_library_reads_is_no_slip_of_the_pen() -> None:
    read = env(OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="3")
    read.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    assert read.misspelt() == {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}
    read.leaves_to_others("OTEL_")
    assert read.misspelt() == {}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"JWT_SECRET": "y"}, {"JWT_SECRET": "JWT_SIGNING_KEY"}),
        ({"JWT_SECRET": "y", "JWT_SIGNING_KEY": "x"}, {}),
        ({"JWT_SECRET": "y", "JWT_SIGNING_KEY_FILE": "/run/key"}, {}),
        ({"JWT_SECRET": ""}, {}),
        ({"SECRET": "y", "JWT": "z", "KB_PORT": "tcp://10.0.0.1:80", "HOME": "/", "KEY": "k"}, {}),
    ],
)
def test_what_others_call_a_variable_is_named_with_ours_while_that_is_unset(
    variables: dict[str, str], told: dict[str, str]
) -> None:
    read = env(**variables)
    read.also_called({"JWT_SECRET": "JWT_SIGNING_KEY"})
    read.defaults["JWT_SIGNING_KEY"] = None
    assert read.misspelt() == told


def test_limits_of_connections_are_a_routes_own_else_those_of_all_else_the_routes_default() -> None:
    given = {
        "MAX_CONNECTIONS_PER_IP": "7",
        "MAX_CONNECTIONS_PER_USER": "8",
        "A_B_MAX_CONNECTIONS_PER_IP": "9",
    }
    assert env(**given).connection_limits("a-b", per_ip=1, per_user=2, rate="3/s") == ConnectionLimits(
        name="a-b", per_address=9, per_user=8, connect_rate=Rate(3, 1)
    )


def test_bounds_are_a_routes_own_where_it_has_any() -> None:
    given = {"A_B_OUTBOX_BYTES": "2048", "A_B_WS_TIMEOUT_SECONDS": "1.5", "OUTBOX_BYTES": "4096"}
    assert env(**given).link_bounds("a-b") == LinkBounds(outbox_bytes=2048, idle_timeout_seconds=1.5)
    assert complaint(lambda: env(A_MAX_MESSAGE_BYTES="1").link_bounds("a")).startswith("A_MAX_MESSAGE_BYTES")
    assert complaint(lambda: env(A_WS_TIMEOUT_SECONDS="0").link_bounds("a")).startswith("A_WS_TIMEOUT")


def test_a_list_is_parsed_one_by_one_and_one_wrong_value_is_enough() -> None:
    assert env(PORTS="1, 2").several("PORTS", int, expected="numbers") == (1, 2)
    complained = complaint(lambda: env(PORTS="1,b").several("PORTS", int, expected="numbers"))
    assert complained == "PORTS: must be numbers, got '1,b'"


def test_who_says_all_that_is_wrong_reads_on_with_defaults() -> None:
    going_on = env(PORT="http", RATE="fast", SIZE="7", KEY_FILE="/nowhere/at-all")
    going_on.go_on()
    assert going_on.integer("PORT", 8666) == 8666
    assert going_on.optional_rate("RATE") is None
    assert going_on.secret("KEY", "other", expected="a text") == "other"
    assert going_on.integer("SIZE", 1) == 7
    assert going_on.amiss(SettingError("ROUTES", "importable"), 5) == 5
    assert going_on.wrong is not None
    assert [*going_on.wrong] == ["PORT", "RATE", "KEY_FILE", "ROUTES"]
    assert going_on.wrong["PORT"] == complaint(lambda: env(PORT="http").integer("PORT", 8666))


def test_passwords_are_known_wherever_they_stand() -> None:
    read = env(
        DATABASE_URL="postgres://gateway:p%2Fss@host/gateway",
        NATS_URL="nats://t0ken@host:4222,nats://me:secret@other:4222",
        REDIS_URL="redis://plain-user@host",
        KEY="k" * 40,
        OTHER="shown",
    )
    for name in ("DATABASE_URL", "KEY"):
        read.secret(name, expected="a text")
    for name in ("NATS_URL", "REDIS_URL", "OTHER"):
        read.text(name)
    assert read.passwords() == {"p%2Fss", "p/ss", "t0ken", "secret", "k" * 40}
