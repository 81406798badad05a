"""The clients of the matrix: how each is started, what it needs here, and what it cannot do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache

from config.testing.starts import BASE_DIR

CLIENTS_DIR = BASE_DIR / "clients"
MATRIX_DIR = CLIENTS_DIR / "matrix"
NODE_MODULES = CLIENTS_DIR / "node_modules"

OLDEST_NODE = 20  # the first with a WebSocket of its own
NODE = f"node {OLDEST_NODE} or later"

# What a client cannot do, and so is left out of its play.
BINARY, LONG_TEXT, FRAGMENTS, STATUS = "send binaries", "send long texts", "send fragments", "see a status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One client.

    In `argv`, {devtools} is the address of the running Chromium and {built} where programs are compiled to.
    `needs` are commands, or packages of npm as `npm:NAME`.
    """

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()
    cannot: frozenset[str] = frozenset()


def is_here(need: str) -> bool:
    if need.startswith("npm:"):
        return (NODE_MODULES / need.removeprefix("npm:")).is_dir()
    if need == NODE:
        return _node_version() >= OLDEST_NODE
    return shutil.which(need) is not None


@cache
def _node_version() -> int:
    """The major version of the Node.js that is here; 0 for none."""
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, timeout=30, check=False
    ).stdout
    return int(said.removeprefix("v").partition(".")[0])


def _python(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(MATRIX_DIR / name), *arguments)


def _node(name: str, *arguments: str) -> tuple[str, ...]:
    return ("node", str(MATRIX_DIR / name), *arguments)


PAGES_CANNOT = frozenset({FRAGMENTS, STATUS})

KINDS = (
    Kind(name="websockets", argv=_python("python_websockets.py")),
    Kind(name="websockets-plain", argv=_python("python_websockets.py", "--plain")),
    Kind(name="aiohttp", argv=_python("python_aiohttp.py"), cannot=frozenset({FRAGMENTS})),
    Kind(name="ws", argv=_node("node_ws.cjs"), needs=(NODE, "npm:ws")),
    Kind(
        name="node",
        argv=("node", "--experimental-websocket", str(MATRIX_DIR / "node_builtin.cjs")),
        needs=(NODE,),
        cannot=PAGES_CANNOT,
    ),
    Kind(
        name="chromium",
        argv=_node("chromium.cjs", "{devtools}"),
        needs=("chromium", NODE, "npm:ws"),
        cannot=PAGES_CANNOT,
    ),
    Kind(
        name="mono",
        argv=("mono", "{built}/mono.exe"),
        needs=("mono", "mcs"),
        cannot=frozenset({STATUS}),
    ),
    Kind(
        name="wscat",
        argv=_python("wscat.py"),
        needs=(NODE, "npm:wscat"),
        cannot=frozenset({BINARY, LONG_TEXT, FRAGMENTS}),
    ),
    Kind(
        name="socketio",
        argv=_node("socketio.cjs"),
        needs=(NODE, "npm:socket.io-client"),
        cannot=frozenset({FRAGMENTS}),
    ),
)
