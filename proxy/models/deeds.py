"""What staff did in admin."""

from __future__ import annotations

from django.contrib.admin.models import LogEntry


class Deed(LogEntry):
    """An entry of Django's admin log, of whatever table: a page and a permission of its own."""

    class Meta:
        proxy = True
        ordering = ["-id"]
        default_permissions = ("view",)
        verbose_name, verbose_name_plural = "audit entry", "audit entries"
