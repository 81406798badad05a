"""Where a Redis is and how to log in there, as redis-py reads it from a URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Self

from redis.asyncio import ConnectionPool


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """`path` is a Unix socket's, "" for host and port. `username` None: the default user; `password` None: no
    login. `tls` None: none. `database` matters to commands; Pub/Sub has one space of names for all of them.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: SSLContext | None = None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Of a `redis://`, `rediss://` or `unix://` URL, with the options that redis-py knows.

        Raises ValueError as redis-py does, OSError for a certificate's file that cannot be read.
        """
        pool: Any = ConnectionPool.from_url(url)
        made = pool.make_connection()  # which says what a URL means, and opens nothing
        tls = made.ssl_context.get() if hasattr(made, "ssl_context") else None
        return cls(
            host=getattr(made, "host", ""),
            port=int(getattr(made, "port", 0)),
            path=getattr(made, "path", ""),
            database=int(made.db or 0),
            username=made.username,
            password=made.password,
            tls=tls,
        )

    @property
    def login(self) -> tuple[str, ...] | None:
        """The command that logs in; None where there is nothing to say."""
        if self.password is None:
            return None
        return ("AUTH", self.password) if self.username is None else ("AUTH", self.username, self.password)
