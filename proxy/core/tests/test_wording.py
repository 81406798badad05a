from __future__ import annotations

from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError

from proxy.core.wording import in_words


def test_an_error_of_redis_says_in_a_log_what_redis_has_said() -> None:
    assert in_words(ResponseError("READONLY a replica")) == "ResponseError: READONLY a replica"


def test_of_a_group_each_error_has_its_say() -> None:
    inner = ExceptionGroup("some", [AuthenticationError("wrong password"), TimeoutError()])
    group = ExceptionGroup("all", [inner, ReadOnlyError("a replica")])
    assert in_words(group) == "AuthenticationError: wrong password; TimeoutError; ReadOnlyError: a replica"


def test_what_redis_repeats_of_a_command_is_left_out() -> None:
    error = ResponseError("unknown command 'PUBLISH', with args beginning with: 'a' 'secret'")
    assert in_words(error) == "ResponseError: unknown command 'PUBLISH'"
