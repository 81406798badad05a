"""npm's wscat, which is for people: it says what happens only to a terminal, and sends only lines of text.

So its output is a terminal here and its input a pipe. Long lines cannot be typed: Node's line editor measures
the whole line at every key.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

from contract import decoded, encoded, say, steps

WSCAT = Path(__file__).parent.parent / "node_modules" / "wscat" / "bin" / "wscat"
COLUMNS = 10_000  # a narrow terminal's line editor would break lines
SAID = re.compile(
    rb"(?P<opened>Connected \(press)"
    rb"|Disconnected \(code: (?P<code>\d+), reason: \"(?P<reason>.*?)\"\)"
    rb"|error: Unexpected server response: (?P<status>\d+)"
    rb"|\x1b\[3D< (?P<text>.*?)\x1b\[39m\r?\n",
    re.DOTALL,
)


def report(said: re.Match[bytes]) -> None:
    if said["opened"]:
        say("opened")
    elif said["status"]:
        say("refused", said["status"].decode())
    elif said["code"]:
        say("closed", said["code"].decode(), encoded(said["reason"]))
    else:
        say("text", encoded(said["text"].replace(b"\r\n", b"\n")))


def listen(terminal: int) -> None:
    """Read until wscat ends, which Linux tells as an error of the terminal."""
    heard, start = bytearray(), 0
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:
            break
        heard += chunk
        # Whatever it says ends a line; a long message is not searched again with each of its pieces.
        while b"\n" in chunk and (said := SAID.search(heard, start)):
            report(said)
            start = said.end()
    os.close(terminal)


async def open_socket(url: str) -> asyncio.subprocess.Process:
    terminal, child_terminal = pty.openpty()
    fcntl.ioctl(child_terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    command = ("node", str(WSCAT), "--no-color", "--slash", "--connect", url)
    wscat = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=child_terminal
    )
    os.close(child_terminal)
    asyncio.get_running_loop().run_in_executor(None, listen, terminal)
    return wscat


def line_of(word: str, fields: list[str]) -> bytes:
    """What a person would type."""
    if word == "close":
        return b"/close %b %b" % (fields[0].encode(), decoded(fields[1]))
    return decoded(fields[0])


async def main() -> None:
    wscat = None
    async for word, *fields in steps():
        if word == "open":
            wscat = await open_socket(fields[0])
        elif wscat is not None and wscat.stdin is not None:
            wscat.stdin.write(line_of(word, fields) + b"\n")
            await wscat.stdin.drain()
    if wscat is not None and wscat.returncode is None:
        wscat.kill()


asyncio.run(main())
