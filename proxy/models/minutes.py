"""What all nodes did, a minute at a time."""

from __future__ import annotations

from django.db import models


class Minute(models.Model):
    """One minute of all nodes together: `sample` as `proxy/core/samples.py` writes it."""

    at = models.DateTimeField(primary_key=True)
    sample = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"
