"""What `make run` starts and says for the reference product. It is imported without Django."""

SERVICES = """
KB_SERVICE_URL = manage.py kbservice --port {port};
STUDIO_WS_URLS = manage.py studioservice --port {port}
"""


def banner(*, address: str, token: str, python: str) -> str:
    """What to open, and how to talk to it. `address` is the gateway's host and port."""
    url = f"ws://{address}/ws/experience?experience=wylding-woods&token={token}"
    return f"""\
  WebSocket    {url}

  Talk to it   {python} -m websockets '{url}'
               then type: {{"type":"ping"}}

  Studio       ws://{address}/ws?token={token}
               talk to it likewise, then type: {{"type":"whoami"}}
               Socket.IO: http://{address}, transports: ["websocket"], query: {{token}}
"""
