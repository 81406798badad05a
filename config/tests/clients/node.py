"""A fresh gateway of the matrix, and the staff that kick from its admin."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from config.testing.gateway import Gateway, issue

CSRF = "a" * 32  # Django asks that cookie and form agree
_MAKE_STAFF = """
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
ada = User.objects.create_superuser("ada", password="sesame")
session = SessionStore()
session.update({SESSION_KEY: str(ada.pk), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend",
                HASH_SESSION_KEY: ada.get_session_auth_hash()})
session.create()
print("session", session.session_key)
"""


@dataclass(frozen=True, slots=True)
class StaffDesk:
    """A migrated `database` in which one of staff is logged in, by the cookie `session`."""

    database: Path
    session: str

    @classmethod
    def furnished(cls, directory: Path) -> StaffDesk:
        gateway = Gateway("serve", directory, {})
        try:
            gateway.migrate()
            said = gateway.manage("shell", "-c", _MAKE_STAFF).stdout
        finally:
            gateway.close()
        return cls(directory / "gateway.sqlite3", said.rpartition("session ")[2].strip())

    async def kick(self, gateway: Gateway, user: str, reason: str) -> None:
        """End the one link of `user`, from the list of connections in admin."""
        (row,) = await gateway.wait_for_records(f"user_id = '{user}' AND closed_at IS NULL")
        form = {"action": "kick_links", "_selected_action": row["id"], "confirmed": "yes", "reason": reason}
        async with httpx.AsyncClient(
            cookies={"sessionid": self.session, "csrftoken": CSRF}, timeout=10, trust_env=False
        ) as browser:
            url = f"http://127.0.0.1:{gateway.port}/admin/proxy/connection/"
            answer = await browser.post(url, data={**form, "csrfmiddlewaretoken": CSRF})
        assert answer.status_code == 302, answer.text


@dataclass(slots=True)
class Node:
    """A gateway for one cell of the matrix. `places` are what the command line of its client names."""

    gateway: Gateway
    desk: StaffDesk
    path: str
    places: dict[str, str]
    played: int = field(default=0)

    @property
    def is_spliced(self) -> bool:
        return self.gateway.kind == "serve"

    @property
    def unauthenticated_status(self) -> int:
        """Stock Daphne refuses with nothing but 403."""
        return 401 if self.is_spliced and not self.path.endswith("/experience") else 403

    @property
    def speaks_socketio(self) -> bool:
        """Whether the gateway says what it has to say as Socket.IO does."""
        return self.path == "/socket.io/"

    def url(self, user: str, *, path: str = "") -> str:
        """Where `user` connects to: `path`, or the cell's."""
        return self.gateway.url(path or self.path, token=issue(user))

    def forged_url(self, user: str) -> str:
        """A URL whose token somebody else has signed."""
        return self.gateway.url(self.path, token=issue(user, key="f" * 64))

    def told(self, code: int) -> int:
        """The code that a client sees of one that the gateway sends: stock Daphne cannot send all of them."""
        return code if self.is_spliced or code in {1000, *range(3000, 5000)} else 3900 + code

    async def kick(self, user: str, reason: str) -> None:
        await self.desk.kick(self.gateway, user, reason)


def new_user() -> str:
    return f"player-{uuid.uuid4().hex[:8]}"
