"""What `make run` prints when everything answers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

from config.dev.environment import DEFAULT_PORT
from proxy.core.routes import Route


def banner(
    *, port: int, told: str, login: Sequence[str] | None, python: str, replaced: Mapping[str, Sequence[str]]
) -> str:
    """`told` is what the product says of its routes (see prepare.py). `login` is the admin's name and
    password, None when the database is not this checkout's own. `replaced` has, by pool, the members that
    staff have put in place of those in settings.
    """
    # Beside a gateway on a port of its own there may be another one, so that a command has to name it.
    which = "" if port == DEFAULT_PORT else f"GATEWAY_PORT={port} "
    command = f"{which}{python} -m config.dev"
    admin = f"make a login: {command} createsuperuser"
    if login is not None:
        admin = f"{login[0]} / {login[1]}  (of this checkout only)"
    return f"""
Sluicegate is up. Ctrl-C ends it.

{told}
  Admin        http://127.0.0.1:{port}/admin/
               {admin}

  Any command  {command} publish user:demo '{{"type":"quest.updated"}}'
{_told(replaced)}"""


def of_routes(
    routes: Iterable[Route], *, address: str, token: str, python: str, empty_pools: Collection[str] = ()
) -> str:
    """What there is to open where no app says it: each route's first path, what it captures in braces."""
    lines = []
    for route in routes:
        query = "".join(f"{name}={{{name}}}&" for name in route.required_query)
        path = re.sub(r"<(?:[^>:]+:)?([^>]+)>", r"{\1}", route.paths[0])
        lines.append(f"  {route.name:<12} ws://{address}/{path}?{query}token=TOKEN\n")
        if route.upstream.name in empty_pools:
            lines.append(f"{'':<15}503 so far: the pool {route.upstream.name} has no member\n")
    return f"""\
{"".join(lines)}
  TOKEN        {token}

  Talk to one  {python} -m websockets 'URL'
"""


def _told(replaced: Mapping[str, Sequence[str]]) -> str:
    """What of the settings is not in force."""
    return "".join(
        f"""
  Not in force the members of {pool} in settings: rows of the admin's Pools page replace them,
               {", ".join(urls)}
"""
        for pool, urls in replaced.items()
    )
