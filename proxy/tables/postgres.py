"""PostgreSQL connections that give a silent server up.

The kernel's keepalives (database_settings.py) find a host that is gone. They do not find a server, or a proxy
in between, that is frozen while its kernel still answers: that is what a deadline on every wait is for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg.abc import PQGen

log = logging.getLogger(__name__)
RV = TypeVar("RV")

# How long one look at whether the server still answers may take.
LOOK_SECONDS = 2.0


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed, and raises OperationalError, when the server keeps silent for too long.

    `silence_seconds` is for all connections of the process. None: as long as it takes, as a migration may.
    """

    silence_seconds: ClassVar[float | None] = None
    _last_refusal: ClassVar[str] = ""

    # What the session was told already (proxy/tables/executor.py).
    limits: Mapping[str, float] | None = None
    _is_look = False

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> BoundedConnection:
        """As psycopg's; why it fails is logged once an outage, since the pool's own error does not say."""
        try:
            connection = super().connect(*args, **kwargs)
        except psycopg.Error as error:
            refusal = str(error)
            if refusal != cls._last_refusal:
                log.warning("database: cannot connect", extra={"why": refusal})
            BoundedConnection._last_refusal = refusal
            raise
        BoundedConnection._last_refusal = ""
        return connection

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """How the pool looks whether the server still answers; Django's own statements have a cursor."""
        self._is_look = True
        try:
            return super().execute(*args, **kwargs)
        finally:
            self._is_look = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """As psycopg's, with a deadline of our own where the caller sets none."""
        if timeout is not None or self.silence_seconds is None:
            return super().wait(gen, interval, timeout)
        seconds = min(LOOK_SECONDS, self.silence_seconds) if self._is_look else self.silence_seconds
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()  # an answer that comes later would be taken for the next statement's
            raise psycopg.OperationalError(f"the server was silent for {seconds:g} s") from None
