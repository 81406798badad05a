"""With LOG_FORMAT=json, the default, every line that a service prints is one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.testing import starts
from config.testing.gateway import Gateway
from config.testing.plugin import Spawn
from config.testing.program import free_port, listening_socket

pytestmark = pytest.mark.long

ENV = {"SECRET_KEY": "s" * 64, "PYTHONWARNINGS": "default"}


def objects(output: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in output.splitlines()]
    assert all(isinstance(line, dict) and {"event", "level", "timestamp"} <= line.keys() for line in lines)
    return lines


def run(*words: str, directory: Path, code: str | None = None, **env: str) -> list[dict[str, Any]]:
    """What a service prints that ends by itself; `code` is run in its place."""
    given = ENV | {"DATABASE_URL": f"sqlite:///{directory}/x.sqlite3"} | env
    command = ["-c", code] if code is not None else ["manage.py", *words]
    ended = starts.run([sys.executable, *command], env=given, timeout=60)
    assert ended.returncode != 0
    return objects(ended.stdout + ended.stderr)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_gateway_says_all_in_json_from_its_start_to_its_end(
    spawn: Spawn, tmp_path: Path, workers: str, valkey: Any
) -> None:
    gateway = Gateway("serve", tmp_path, {})
    gateway.migrate()
    env = {**gateway.env, **ENV, "REDIS_URL": valkey.url}
    with listening_socket() as listening:
        fd = listening.fileno()
        command = [sys.executable, "manage.py", "serve", "--fd", str(fd), "--workers", workers]
        program = spawn(command, name="serve", env=env, fds=[fd], ready="redis pub/sub|hub|listening on")
        for path in (
            "/",
            "/admin/login/",
            "/static/admin/css/base.css",
            "/nowhere",
            "/%00",
            "/static/proxy/page.css",
        ):
            request = [
                "curl", "-s", "-o", os.devnull, f"http://127.0.0.1:{listening.getsockname()[1]}{path}",
            ]  # fmt: skip
            subprocess.run(request, check=True, timeout=20)
        assert program.stop() == 0
    gateway.close()

    said = [line["event"] for line in objects(program.output)]
    assert said.count("http request") == 6
    assert not [event for event in said if "Warning" in event]


@pytest.mark.parametrize("service", ["kbservice", "studioservice"])
def test_the_reference_services_do(spawn: Spawn, service: str) -> None:
    port = free_port()
    command = [sys.executable, "manage.py", service, "--port", str(port)]
    program = spawn(command, name=service, env=ENV)
    program.wait_for_port(port)
    program.stop()

    objects(program.output)


@pytest.mark.parametrize(
    ("words", "env", "told"),
    [
        (["serve", "--workers", "0"], {}, "--workers must be"),
        (["serve", "--no-such-option"], {}, "unrecognized arguments"),
        (["serve"], {"GATEWAY_PORT": "http"}, "GATEWAY_PORT"),
        (["serve"], {"LOG_FORMAT": "xml"}, "LOG_FORMAT"),
        (["kbservice"], {"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        (["serve"], {"JWT_SIGNING_KEY": "short"}, "JWT_SIGNING_KEY is shorter"),
    ],
)
def test_a_start_that_fails_says_so_in_json(
    tmp_path: Path, words: list[str], env: dict[str, str], told: str
) -> None:
    lines = run(*words, directory=tmp_path, **env)
    assert told in str(lines)
    assert {line["level"] for line in lines} == {"error"}


ACCIDENTS = {
    "print('from a library')": "from a library",
    "import sys; sys.stderr.write('begun')": "begun",
    "import warnings; warnings.warn('old way')": "old way",
    "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()": "ZeroDivisionError",
    "type('X', (), {'__del__': lambda self: 1 / 0})()": "ZeroDivisionError",
    "import asyncio; asyncio.run(lose())": "never retrieved",
    "from twisted.internet import defer; defer.fail(ValueError('lost')); import gc; gc.collect()": "lost",
    "import logging; logging.getLogger().error('%d', 'x')": "TypeError",
}
SERVICE = """
from config.streams import speak_json
speak_json()
import os, django
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
async def lose():
    import asyncio, gc
    async def fail():
        raise ValueError("in a task")
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
import proxy.server.server
from twisted.logger import globalLogBeginner
globalLogBeginner.beginLoggingTo([proxy.server.server._log_of_twisted], redirectStandardIO=False)
ACCIDENT
raise SystemExit("the end")
"""


@pytest.mark.parametrize(("accident", "told"), ACCIDENTS.items())
def test_no_accident_prints_anything_else(tmp_path: Path, accident: str, told: str) -> None:
    lines = run(directory=tmp_path, code=SERVICE.replace("ACCIDENT", accident))

    assert told in str(lines)
    assert "the end" in lines[-1]["event"]


def test_an_accident_that_ends_the_program_is_its_last_line_and_tells_no_secret(tmp_path: Path) -> None:
    lines = run(directory=tmp_path, code=SERVICE.replace("ACCIDENT", "raise ValueError('token=s3cret')"))

    assert lines[-1]["event"] == "uncaught exception"
    assert "ValueError: token=[redacted]" in lines[-1]["exception"]
    assert "s3cret" not in str(lines)


def test_people_read_text(tmp_path: Path) -> None:
    env = ENV | {"LOG_FORMAT": "console"}
    ended = starts.run([sys.executable, "manage.py", "serve", "--workers", "0"], env=env, timeout=60)
    assert ended.stderr == "CommandError: --workers must be 1 or more\n"
