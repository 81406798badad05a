"""Requests that drip, or are too big, end by a deadline; so do connections that do nothing."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest

from proxy.server.tests.conftest import RunningServer, read_all, read_head, serving

pytestmark = [pytest.mark.timing, pytest.mark.long]


def test_a_connection_that_says_nothing_is_ended_by_a_deadline(server: RunningServer) -> None:
    with server.connect() as raw:
        assert read_all(raw) == b""


def test_a_head_that_drips_is_ended_by_its_deadline(server: RunningServer) -> None:
    """Each byte used to reset Daphne's idle timeout."""
    done = threading.Event()

    def drip() -> None:
        with contextlib.suppress(OSError):
            while not done.wait(0.1):
                raw.sendall(b"X")

    with server.connect() as raw:
        raw.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\n")
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert read_head(raw)[0] == 408
        finally:
            done.set()
            dripping.join()


def test_a_body_that_drips_is_ended_by_its_deadline(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n12")
        assert read_head(raw)[0] == 408


def test_a_body_within_its_deadline_is_served(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n12")
        raw.sendall(b"34")
        status, _, rest = read_head(raw)
        assert status == 200
        assert b'"size": 4' in rest


def test_a_body_that_is_too_big_is_refused_before_it_is_read(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert read_head(raw)[0] == 413


def test_a_chunked_body_is_refused_at_its_head_and_its_sender_can_read_why(server: RunningServer) -> None:
    """Chunks of one byte each would cost the loop more than a megabyte in one piece."""
    with server.connect() as raw:
        raw.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(BrokenPipeError):
            for _ in range(100):
                raw.sendall(b"1\r\nx\r\n" * 1000)
        status, headers, rest = read_head(raw)
        assert (status, headers["connection"]) == (411, "close")
        assert json.loads(rest + read_all(raw))["message"] == "A body needs a Content-Length."


def test_a_path_that_takes_no_body_refuses_it_at_its_head() -> None:
    with serving(body_paths=["/body"], drain_seconds=0.1) as server:
        for path, status in (("body?a=1", 200), ("counts", 413), ("x/body", 413)):
            with server.connect() as raw:
                head = (
                    f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
                )
                raw.sendall(head.encode())
                if status == 200:
                    assert read_head(raw)[0] == 100
                    raw.sendall(b"abc")
                assert read_head(raw)[0] == status
        assert server.get("counts")["rejections_total body"] == 2


def test_a_body_that_is_announced_too_big_is_refused_though_its_sender_goes_on(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" + bytes(500_000))
        assert read_head(raw)[0] == 413


def test_a_kept_alive_connection_may_ask_again(server: RunningServer) -> None:
    with server.connect() as raw:
        for _ in range(3):
            raw.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            status, headers, rest = read_head(raw)
            while len(rest) < int(headers["content-length"]):
                rest += raw.recv(100)
            assert status == 200


def test_a_http_application_that_raises_is_a_500_at_once(server: RunningServer) -> None:
    with server.connect() as raw:
        raw.settimeout(0.5)
        raw.sendall(b"GET /raise HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, rest = read_head(raw)
        assert (status, headers["content-type"]) == (500, "application/json")
        while len(rest) < int(headers["content-length"]):
            rest += raw.recv(100)
        assert json.loads(rest)["code"] == "internal_error"


def test_a_client_that_leaves_a_slow_answer_stops_nobody_elses_deadline() -> None:
    with serving(http_timeout_seconds=1.0, drain_seconds=0.1, application_close_seconds=5.0) as server:
        with server.connect() as leaving:
            leaving.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_head(leaving)[0] == 200
        for _ in range(2):  # by the second time the first client's own deadline is long over
            with server.connect() as raw:
                raw.sendall(b"GET /seen?key=never HTTP/1.1\r\nHost: x\r\n\r\n")
                assert read_head(raw)[0] == 503
        assert "Traceback" not in server.log()
        server.terminate()
        server.terminate()  # nobody is to wait for the first one's application


def test_the_access_log_has_no_query_strings(server: RunningServer) -> None:
    server.get("counts?token=secret")
    with server.upgrade("deny?status=401&token=secret") as raw:
        read_head(raw)
    with server.upgrade("echo?token=secret", "Sec-WebSocket-Version: 12") as raw:
        read_head(raw)
    log = server.log()
    assert "http request /counts" in log
    assert "websocket refused /echo" in log
    assert "secret" not in log
