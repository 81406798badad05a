"""What `make run` starts and says for the reference product. It is imported without Django."""

import os
import time

TOKEN_SECONDS = 12 * 3600
SERVICES = """
KB_SERVICE_URL = manage.py kbservice --port {port};
STUDIO_WS_URLS = manage.py studioservice --port {port};
AGENT_URL = python examples/sessions/agent.py --port {port};
NATS_URL = nats: nats-server --addr 127.0.0.1 --port {port} --log var/nats-{port}.log
  --jetstream --store_dir var/nats-{port};
CHAT_SERVICE_URL = manage.py chatservice --port {port}
"""


def banner(*, address: str, token: str, python: str) -> str:
    """What to open, and how to talk to it. `address` is the gateway's host and port."""
    from experience.settings import NATS_STREAM, NATS_URL

    broker = f"nats://{NATS_URL[0].rpartition('/')[2].rpartition('@')[2]}" if NATS_URL else "Redis"
    if NATS_URL and NATS_STREAM:
        broker += f", kept in the stream {NATS_STREAM}"
    url = f"ws://{address}/ws/experience?experience=wylding-woods&token={token}"
    return f"""\
  WebSocket    {url}
  Version 2    the same at /ws/v2/experience, changes by {broker}
  Talk to it   {python} -m websockets '{url}'
               then type: {{"type":"ping"}}
  Studio       ws://{address}/ws?token={token}
               talk to it likewise, then type: {{"type":"whoami"}}
               Socket.IO: http://{address}, transports: ["websocket"], query: {{token}}
{_of_chat(address)}{_of_agent()}"""


def _of_chat(address: str) -> str:
    """Two users who talk to each other: a token in a fragment reaches no server and no log."""
    from django.conf import settings

    from experience.settings import CHAT_PAGE, CHAT_SERVICE_URLS
    from proxy.api import token_verifier

    if not (CHAT_PAGE and CHAT_SERVICE_URLS and "experience.chat" in settings.EXTRA_APPS):
        return ""  # DEV_SERVICES may leave the service out
    now = int(time.time())
    times = {"iat": now, "exp": now + TOKEN_SECONDS}
    alice, bob = (
        token_verifier().backend.encode({settings.JWT_USER_ID_CLAIM: user, **times})
        for user in ("alice", "bob")
    )
    return f"""\
  Chat, alice  http://{address}/chat/#token={alice}
  Chat, bob    http://{address}/chat/#token={bob}
"""


def _of_agent() -> str:
    url = os.environ.get("AGENT_URL")  # DEV_SERVICES may leave it out
    if url is None:
        return ""
    # Of which agents of the developer's own have to know: Valkey's port is another one each time.
    scheme, _, place = os.environ["REDIS_URL"].partition("://")
    redis = f"{scheme}://{place.rpartition('@')[2]}"
    return f"  An agent     {url} streams over {redis}\n"
