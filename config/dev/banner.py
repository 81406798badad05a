"""What `make run` prints when everything answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config.dev.environment import DEFAULT_PORT


def banner(
    *,
    port: int,
    token: str,
    login: Sequence[str] | None,
    python: str,
    replaced: Mapping[str, Sequence[str]],
) -> str:
    """`login` is the admin's name and password, or None when the database is not this checkout's own.

    `replaced` has, by pool, the members that staff have put in place of those in settings.

    A gateway on a port of its own may have another one beside it, so a command has to name it.
    """
    command = f"{'' if port == DEFAULT_PORT else f'GATEWAY_PORT={port} '}{python} -m config.dev"
    url = f"ws://127.0.0.1:{port}/ws/experience?experience=wylding-woods&token={token}"
    admin = (
        f"{login[0]} / {login[1]}  (of this checkout only)"
        if login
        else f"make a login: {command} createsuperuser"
    )
    return f"""
Sluicegate is up. Ctrl-C ends it.

  WebSocket    {url}

  Talk to it   {python} -m websockets '{url}'
               then type: {{"type":"ping"}}

  Studio       ws://127.0.0.1:{port}/ws?token={token}
               talk to it likewise, then type: {{"type":"whoami"}}
               Socket.IO: http://127.0.0.1:{port}, transports: ["websocket"], query: {{token}}

  Admin        http://127.0.0.1:{port}/admin/
               {admin}

  Any command  {command} publish user:demo '{{"type":"quest.updated"}}'
{_told(replaced)}"""


def _told(replaced: Mapping[str, Sequence[str]]) -> str:
    """What of the settings is not in force."""
    return "".join(
        f"""
  Not in force the members of {pool} in settings: rows of the admin's Pools page replace them,
               {", ".join(urls)}
"""
        for pool, urls in replaced.items()
    )
