"""Publish events to the clients of a Sluicegate, see who is connected, and end links, over HTTP."""

from sluicegate_client.answers import Connection, Delivered, Kicked, Presence, Present, Publication
from sluicegate_client.async_gateway import AsyncGateway
from sluicegate_client.errors import (
    BadRequest,
    GatewayAway,
    KeyRefused,
    NotAllowed,
    SluicegateError,
    UnexpectedAnswer,
)
from sluicegate_client.gateway import Gateway

__all__ = [
    "AsyncGateway",
    "BadRequest",
    "Connection",
    "Delivered",
    "Gateway",
    "GatewayAway",
    "KeyRefused",
    "Kicked",
    "NotAllowed",
    "Presence",
    "Present",
    "Publication",
    "SluicegateError",
    "UnexpectedAnswer",
]
