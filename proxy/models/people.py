"""People: what happened to their links, what staff did to them or noted of them."""

from __future__ import annotations

import secrets

from django.db import models
from django.utils import timezone

from proxy.core.people import NoteKind
from proxy.models.connections import Connection


def new_id() -> str:
    """As those of other records."""
    return secrets.token_hex(16)


class Person(models.Model):
    """Whoever has a user id: no table, since records name people, and none is made. It has pages in admin."""

    user_id = models.CharField(primary_key=True, max_length=255)

    class Meta:
        managed = False
        default_permissions = ()
        verbose_name_plural = "people"

    def __str__(self) -> str:
        return self.user_id


class LinkEvent(models.Model):
    """What happened to a link while it lived; a few lines each. Written in batches by its node."""

    id = models.CharField("ID", primary_key=True, max_length=32, editable=False)
    # No constraint: its link's record may reach the database later, or go before it.
    connection = models.ForeignKey(
        Connection, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="events"
    )
    user_id = models.CharField("user", max_length=255, blank=True)
    at = models.DateTimeField()
    kind = models.CharField(max_length=32)
    words = models.CharField(max_length=520, blank=True)
    times = models.PositiveIntegerField(default=1)

    class Meta:
        default_permissions = ()
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["user_id", "-at"], name="link_event_user", condition=~models.Q(user_id="")),
            models.Index(fields=["connection", "-at"], name="link_event_connection"),
            models.Index(fields=["at"], name="link_event_at"),
        ]

    def __str__(self) -> str:
        return self.id


class StaffNote(models.Model):
    """What staff did to a user, or wrote about one. A `user_id` of "" is everybody's."""

    id = models.CharField("ID", primary_key=True, max_length=32, editable=False, default=new_id)
    user_id = models.CharField("user", max_length=255, blank=True)
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=16)  # one of NoteKind
    text = models.TextField(max_length=2_000, blank=True)
    # By name, which outlives the user, and is all that a shell or an API key has.
    by = models.CharField(max_length=128)

    class Meta:
        default_permissions = ("view", "add", "delete")
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["user_id", "-at"], name="staff_note_user"),
            models.Index(fields=["at"], name="staff_note_at", condition=~models.Q(kind=NoteKind.NOTE.value)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.by}"
