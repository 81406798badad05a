"""Events that wait to be shipped, and those for other services; and whose turn it is to send these."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class WaitingEvent(models.Model):
    """An event that `publish_on_commit` wrote in its caller's transaction; deleted once it is shipped."""

    topic = models.CharField(max_length=512)
    text = models.TextField()
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.topic}: {self.pk}"


class OutgoingEvent(models.Model):
    """An event for other services, written in its caller's transaction; deleted once a broker has it.

    `refused` says why the broker will never take it, and is empty while it waits for its turn.
    """

    subject = models.CharField(max_length=512)
    key = models.CharField(max_length=255)
    body = models.TextField()
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField("written", db_default=Now())
    refused = models.CharField(max_length=255, blank=True, default="", db_default="")

    class Meta:
        default_permissions = ("view", "change")
        indexes = [
            models.Index(fields=["id"], name="outgoing_refused", condition=~models.Q(refused="")),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.pk}"


class Turn(models.Model):
    """Whose turn it is to do what one process at a time does, until when on the database's clock."""

    name = models.CharField(primary_key=True, max_length=64)
    holder = models.CharField(max_length=64)
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
