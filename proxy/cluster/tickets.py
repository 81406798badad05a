"""Tickets, issued on any node and taken by the one handshake, on any node, that shows it first."""

from __future__ import annotations

import secrets

from channels.layers import get_channel_layer
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.cluster.store import Store
from proxy.core.tickets import SECRET_BYTES, TICKET_SECONDS, Ticket, is_one, key_of, seal_of, write

_NONCE = bytes(12)  # a seal is used once


def issue_sync(ticket: Ticket, *, served_by: str = "") -> str:
    """A ticket for that, which nobody can make again of what is stored. For code that is not async.

    Raises LayerAway: Redis is away; or no Redis is shared, and this process has no room for more.
    """
    text = write(secrets.token_bytes(SECRET_BYTES), served_by=served_by)
    sealed = AESGCM(seal_of(text)).encrypt(_NONCE, ticket.encoded(), None)
    _store().keep_sync(_place(text), sealed, seconds=TICKET_SECONDS)
    return text


async def take(text: str) -> Ticket | None:
    """What the ticket stands for, to the first who asks; None to everybody else, and when its time is over.

    Raises LayerAway: nobody can say. It may be used up.
    """
    sealed = await _store().take(_place(text)) if is_one(text) else None
    if sealed is None:
        return None
    try:
        return Ticket.decoded(AESGCM(seal_of(text)).decrypt(_NONCE, sealed, None))
    except InvalidTag:  # who writes to the store has no say in who a client is
        return None


def _place(text: str) -> str:
    return f"gateway:ticket:{key_of(text)}"


def _store() -> Store:
    store: Store = get_channel_layer().store
    return store
