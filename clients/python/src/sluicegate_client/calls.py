"""What the gateway is asked, as requests, and how its answers are read. No I/O.

The paths, fields and bounds are those of docs/publishing.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

from sluicegate_client.answers import Connection, Delivered, Kicked, Page, Presence, Publication
from sluicegate_client.errors import BadRequest

State = Literal["live", "closed"]
T = TypeVar("T")

MOST_EVENTS = 1000
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request. `is_repeatable`: to do it twice is to do it once.

    `read` makes a value of the JSON of its answer, or raises what an answer of another shape makes it raise.
    """

    method: Literal["GET", "POST"]
    path: str
    read: Callable[[Any], T]
    is_repeatable: bool
    body: bytes | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def publish(topic: str, event: Mapping[str, Any], idempotency_key: str | None) -> Call[Delivered]:
    made = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
    publication = Publication(topic, event, **made)
    return Call("POST", "/api/events", Delivered.read, is_repeatable=True, body=_encoded(publication))


def publish_many(publications: Iterable[Publication]) -> list[Call[list[Delivered]]]:
    """As few calls as they fit into, in order. All are encoded before the first can go out."""
    return [_batch(parts) for parts in _batches([_encoded(each) for each in publications])]


def kick(
    *, user_ids: Iterable[str], connection_ids: Iterable[str], everyone: bool, reason: str
) -> Call[Kicked]:
    """Not repeatable: who has come back since would be kicked again."""
    whom = {"user_ids": _ids(user_ids), "connection_ids": _ids(connection_ids)}
    body = _json({**whom, "everyone": everyone, "reason": reason})
    return Call("POST", "/api/kick", Kicked.read, is_repeatable=False, body=body)


def connections(filters: Mapping[str, str | None], *, page_size: int, cursor: str | None) -> Call[Page]:
    asked = {**filters, "limit": str(page_size), "cursor": cursor}
    query = {name: value for name, value in asked.items() if value is not None}
    return Call("GET", "/api/connections", _page, is_repeatable=True, query=query)


def presence(topic: str, *, limit: int) -> Call[Presence]:
    path = f"/api/presence/{quote(topic, safe=':')}"
    return Call("GET", path, Presence.read, is_repeatable=True, query={"limit": str(limit)})


def _page(told: Any) -> Page:
    """Of the address of the next page only the cursor is taken: the key goes where its owner said."""
    cursor = parse_qs(urlsplit(told["next"]).query)["cursor"][0] if told["next"] is not None else None
    return Page(tuple(Connection.read(each) for each in told["results"]), cursor)


def _encoded(publication: Publication) -> bytes:
    """Raises BadRequest: it is no JSON, or more than fits into a request by itself."""
    fields = {
        "topic": publication.topic,
        "event": publication.event,
        "idempotency_key": publication.idempotency_key,
    }
    encoded = _json(fields)
    if len(encoded) + len(b"[]") > MAX_BODY_BYTES:
        raise BadRequest(
            f"An event of {len(encoded)} bytes for {publication.topic!r}: the gateway takes {MAX_BODY_BYTES}."
        )
    return encoded


def _batches(encoded: Iterable[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    size_bytes = MAX_BODY_BYTES
    for each in encoded:
        size_bytes += len(each) + len(b",")
        if size_bytes + len(b"]") > MAX_BODY_BYTES or len(batches[-1]) == MOST_EVENTS:
            batches.append([])
            size_bytes = len(b"[") + len(each)
        batches[-1].append(each)
    return batches


def _batch(parts: list[bytes]) -> Call[list[Delivered]]:
    def read(told: Any) -> list[Delivered]:
        if len(told) != len(parts):
            raise ValueError(f"{len(told)} answers to {len(parts)} events")
        return [Delivered.read(each) for each in told]

    return Call("POST", "/api/events", read, is_repeatable=True, body=b"[" + b",".join(parts) + b"]")


def _ids(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise BadRequest("Ids come in a list or a set; a text would be taken for its letters.")
    return list(ids)


def _json(fields: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"What is sent must be JSON: {error}") from error
