"""Who of staff looks at what goes over a link."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from proxy.models.connections import Connection
from proxy.models.people import new_id


class Tap(models.Model):
    """One look at one link, over at `until`, which comes earlier when it ends. What was seen is not kept."""

    id = models.CharField("ID", primary_key=True, max_length=32, editable=False, default=new_id)
    # No constraint: its link's record may go before it.
    connection = models.ForeignKey(
        Connection, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="taps"
    )
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField()

    class Meta:
        default_permissions = ()
        ordering = ["-until"]
        indexes = [models.Index(fields=["connection", "until"], name="tap_connection")]

    def __str__(self) -> str:
        return self.id
