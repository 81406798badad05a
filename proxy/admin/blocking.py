"""Whom a block will hit, which its page says before a wide one is saved."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from django import forms
from django.core.exceptions import ValidationError

from proxy.admin.pages import BoundedPaginator
from proxy.core.blocking import Blocklist, BlockRule, parse_network
from proxy.models import Block, Connection

# By version of IP: a wider network is more than one place, and a still wider one a large part of the world.
PLACE_BITS = {4: 24, 6: 48}
WORLD_BITS = {4: 8, 6: 16}
# Ending so many links is asked for, whatever the block names.
MANY_LINKS = 50
WORD = "everyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The live links that a block matches, and their users; counted up to a bound."""

    links: int
    users: int
    is_bounded: bool
    needs_word: bool
    is_wide: bool

    @classmethod
    def of(cls, block: Block) -> Hit:
        network = parse_network(block.network) if block.network else None
        blocklist = Blocklist([BlockRule(user_id=block.user_id, network=network)])
        live = Connection.objects.filter(closed_at=None)
        if block.user_id:
            live = live.filter(user_id=block.user_id)
        rows = live.values_list("user_id", "client_address")[: BoundedPaginator.MOST_ROWS + 1]
        hit = [
            user_id
            for user_id, address in rows
            if blocklist.blocks(user_id=user_id, address=address or "", now=0.0)
        ]
        bits = 128 if network is None or block.user_id else network.prefixlen
        version = 4 if isinstance(network, IPv4Network) else 6
        return cls(
            links=len(hit),
            users=len(set(hit)),
            is_bounded=len(rows) > BoundedPaginator.MOST_ROWS,
            needs_word=bits < WORLD_BITS[version],
            is_wide=bits < PLACE_BITS[version],
        )

    @property
    def is_to_be_asked(self) -> bool:
        return self.is_wide or self.links >= MANY_LINKS


class NoQuestion(forms.Form):
    """The figures are enough."""


class WordForm(forms.Form):
    """For what keeps out a large part of the world."""

    word = forms.CharField(label="To go on, type", help_text=f"“{WORD}”")

    def clean_word(self) -> str:
        word = str(self.cleaned_data["word"])
        if word.strip().lower() != WORD:
            raise ValidationError(f"Type “{WORD}”, or cancel.")
        return word
