"""What a node, or several, need around them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004  Django's name

from proxy import registry
from proxy.checks.start import START, STOP_GRACE_SECONDS, start
from proxy.env import env
from proxy.server import listening

# After which systemd, and docker-compose.yml, kill what they stop.
_SUPERVISORS_PATIENCE_SECONDS = 90.0


@register(START, deploy=True)
def check_workers_share(**_: Any) -> list[CheckMessage]:
    """gateway.E003."""
    if start().workers < 2 or settings.REDIS_URL:
        return []
    text = "--workers needs REDIS_URL: without it events, kicks and caps reach one process of several."
    return [Error(text, hint="Set REDIS_URL, or leave --workers out.", id="gateway.E003")]


@register(START, deploy=True)
def check_files_are_enough(**_: Any) -> list[CheckMessage]:
    """gateway.E004 where not one link fits, W019 where fewer do than MAX_CONNECTIONS."""
    files = listening.most_files()
    fitting = listening.links_that_fit(files)
    if fitting >= settings.MAX_CONNECTIONS:
        return []
    wanted = listening.files_for(settings.MAX_CONNECTIONS)
    hint = f"Raise the hard limit to {wanted}: LimitNOFILE= (systemd), ulimits: nofile (compose)."
    if fitting < 1:
        text = f"At most {files} open files (ulimit -Hn) are too few for a gateway."
        return [Error(text, hint=hint, id="gateway.E004")]
    text = (
        f"MAX_CONNECTIONS is {settings.MAX_CONNECTIONS}, and is lowered to {fitting}: "
        f"at most {files} files may be open (ulimit -Hn)."
    )
    return [Warning(text, hint=hint, id="gateway.W019")]


@register(deploy=True)
def check_a_stop_may_last(**_: Any) -> list[CheckMessage]:
    """gateway.W021."""
    seconds = settings.DRAIN_SECONDS + STOP_GRACE_SECONDS
    if seconds <= _SUPERVISORS_PATIENCE_SECONDS:
        return []
    text = (
        f"DRAIN_SECONDS is {settings.DRAIN_SECONDS:g}: a stop may last {seconds:g} s, "
        f"and most supervisors kill after {_SUPERVISORS_PATIENCE_SECONDS:g} s or less."
    )
    hint = (
        "Have yours wait for longer (STOP_GRACE_PERIOD of docker-compose.yml, TimeoutStopSec, "
        "terminationGracePeriodSeconds) and silence this, or lower it."
    )
    return [Warning(text, hint=hint, id="gateway.W021")]


@register(deploy=True)
def check_a_failover_finds_the_primary(**_: Any) -> list[CheckMessage]:
    """gateway.W024."""
    database = settings.DATABASES["default"]
    options = database.get("OPTIONS", {})
    hosts = f"{database.get('HOST', '')}{options.get('host', '')}"
    if "," not in hosts or "target_session_attrs" in options:
        return []
    text = (
        "DATABASE_URL names several hosts and no target_session_attrs: "
        "a replica may be taken, which takes no writes."
    )
    hint = "Put ?target_session_attrs=read-write behind it."
    return [Warning(text, hint=hint, id="gateway.W024")]


@register(deploy=True)
def check_records_end(**_: Any) -> list[CheckMessage]:
    """gateway.I004."""
    if settings.RECORD_RETENTION_DAYS:
        return []
    text = "RECORD_RETENTION_DAYS is 0: every connection is kept for good, and the table grows with each."
    hint = "Fine where something else prunes it (`manage.py prune_connections`)."
    return [Info(text, hint=hint, id="gateway.I004")]


@register(deploy=True)
def check_channel_layer_is_shared(**_: Any) -> list[CheckMessage]:
    """gateway.I001."""
    if not settings.CHANNEL_LAYERS["default"]["BACKEND"].endswith("MemoryChannelLayer"):
        return []
    text = "REDIS_URL is unset: events and caps reach one process only."
    hint = "Fine for one process. For several workers or nodes, set REDIS_URL."
    return [Info(text, hint=hint, id="gateway.I001")]


@register(deploy=True)
def check_database_is_a_server(**_: Any) -> list[CheckMessage]:
    """gateway.I002."""
    if not settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return []
    text = "The record is kept in SQLite, which only processes of one machine can share."
    hint = "Fine for one machine. For several nodes, set DATABASE_URL to a PostgreSQL."
    return [Info(text, hint=hint, id="gateway.I002")]


@register(deploy=True)
def check_variables_are_spelt_right(**_: Any) -> list[CheckMessage]:
    """gateway.W010."""
    registry.routes()  # whose modules read some
    return [
        Warning(f"{name} is set, and nothing reads it.", hint=f"Is {meant} meant?", id="gateway.W010")
        for name, meant in env.misspelt().items()
    ]
