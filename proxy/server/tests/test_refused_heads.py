"""A head that the server does not take is answered with a status and JSON, whatever is wrong with it."""

from __future__ import annotations

import contextlib
import json

import pytest

from proxy.server.tests.conftest import RunningServer, read_all, read_head, serving, upgrade_request

LINE = b"GET /echo HTTP/1.1\r\nHost: x\r\n"
BOUNDS = "The head of a request may have 16384 bytes and 500 headers."


def answer(server: RunningServer, sent: bytes) -> tuple[int, dict[str, str]]:
    """Status and JSON body of the one answer to `sent`, after which the server closes."""
    with server.connect() as raw:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            raw.sendall(sent)
        status, headers, rest = read_head(raw)
        body = rest + read_all(raw)
    assert (headers["content-type"], headers["connection"]) == ("application/json", "close")
    assert len(body) == int(headers["content-length"])
    return status, json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        LINE + b"X-A: " + b"x" * 17_000 + b"\r\n\r\n",
        LINE + b"X-A: " + b"x" * 500_000,
        b"GET /" + b"x" * 500_000,
        LINE + (b"X-A: " + b"x" * 2_000 + b"\r\n") * 30 + b"\r\n",
        LINE + b"X: y\r\n" * 501 + b"\r\n",
        upgrade_request("echo", "X-A: " + "x" * 17_000),
    ],
    ids=["line", "endless line", "target", "lines", "headers", "upgrade"],
)
def test_a_head_over_a_bound_is_a_431_that_names_the_bounds(server: RunningServer, sent: bytes) -> None:
    assert answer(server, sent) == (431, {"code": "bad_request", "message": BOUNDS})


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET /echo\r\n\r\n",
        LINE + b"no colon\r\n\r\n",
        LINE + b"no colon\r\nX-A: b\r\n\r\n",
        LINE + b"X A: b\r\n\r\n",
        LINE + b"X A: b\r\n\r\n" + b"A" * 40_000,
        LINE + b"Content-Length: two\r\n\r\n",
        LINE + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n",
        LINE + b"Transfer-Encoding: gzip\r\n\r\n",
        LINE + b"X-A: a\x01b\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_head_that_is_not_http_is_a_400_and_what_follows_is_not_read(
    server: RunningServer, sent: bytes
) -> None:
    status, body = answer(server, sent + LINE + b"\r\n")
    assert (status, body["code"]) == (400, "bad_request")
    assert body["message"]


def test_a_request_that_does_not_come_in_time_is_a_408(server: RunningServer) -> None:
    late = (408, {"code": "bad_request", "message": "The request did not come in time."})
    assert answer(server, LINE) == late
    assert answer(server, b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12") == late


def test_what_is_refused_is_counted() -> None:
    with serving(head_timeout_seconds=0.2, drain_seconds=0.1) as server:
        answer(server, b"hello\r\n\r\n")
        answer(server, LINE + b"X-A: a\x01b\r\n\r\n")
        answer(server, LINE)
        counts = server.get("counts")
        assert (counts["rejections_total head"], counts["rejections_total late"]) == (2, 1)


def test_a_post_to_a_probe_is_a_405_also_with_a_body() -> None:
    with serving(probe_paths=["/seen"], body_paths=["/body"], drain_seconds=0.1) as server:
        status, body = answer(server, b"POST /seen HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        assert (status, body["message"]) == (405, "GET or HEAD, please.")
