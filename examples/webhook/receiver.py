"""A receiver of the gateway's webhook: says what happens, in one line an event.

Of the gateway it knows what docs/webhooks.md says, and imports nothing but Python's own library.

    WEBHOOK_SECRET=whsec_… python examples/webhook/receiver.py --port 9000
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOST_BYTES = 1 << 20
MOST_SECONDS_AGO = 300
KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
seen: dict[str, None] = {}


def is_signed(headers: Message, body: bytes) -> bool:
    """Whether the gateway has sent it, and lately: what somebody has caught is worth nothing later."""
    message_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdigit() or abs(time.time() - int(at)) > MOST_SECONDS_AGO:
        return False
    meant = b".".join((message_id.encode(), at.encode(), body))
    signature = "v1," + base64.b64encode(hmac.digest(KEY, meant, hashlib.sha256)).decode()
    said = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(each.encode(), signature.encode()) for each in said)


def is_new(event_id: str) -> bool:
    """Of the last thousands: a request may come again."""
    if event_id in seen:
        return False
    seen[event_id] = None
    while len(seen) > 10_000:
        del seen[next(iter(seen))]
    return True


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if length > MOST_BYTES:
            return self.answer(413)
        body = self.rfile.read(length)
        if not is_signed(self.headers, body):
            return self.answer(401)
        for event in json.loads(body)["data"]:
            if is_new(event["id"]):
                print(event["type"], json.dumps(event["data"]), flush=True)
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Only what is told is printed."""


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, default=9000)
    server = ThreadingHTTPServer(("127.0.0.1", arguments.parse_args().port), Receiver)
    print("ready", flush=True)
    server.serve_forever()
