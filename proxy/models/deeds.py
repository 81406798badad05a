"""What was done by hand: by staff in admin, and by programs, over HTTP or from a shell."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import models
from django.utils import timezone


class Deed(LogEntry):
    """An entry of Django's admin log, of whatever table: a page and a permission of its own."""

    # As of programs; what staff do has them in `DeedDetails`.
    count: int | None = None
    reason = found_by = ""
    # Of a program's, which outlives the release that has such rows.
    program_kind = ""

    class Meta:
        proxy = True
        ordering = ["-id"]
        default_permissions = ("view",)
        verbose_name, verbose_name_plural = "audit entry", "audit entries"

    @property
    def is_of_program(self) -> bool:
        """Whether it stands for a `ProgramDeed`: those have its id below zero, and no row here."""
        return self.pk < 0

    @property
    def kind(self) -> str:
        """What it was done to, such as `proxy.block`; "" of nothing that has rows."""
        of_staff = self.content_type
        return f"{of_staff.app_label}.{of_staff.model}" if of_staff else self.program_kind


class DeedDetails(models.Model):
    """What Django's admin log has no columns for, of an entry of staff's: as `ProgramDeed` has it."""

    entry = models.OneToOneField(
        LogEntry, primary_key=True, on_delete=models.CASCADE, related_name="deed_details"
    )
    count = models.PositiveIntegerField(null=True)
    reason = models.CharField(max_length=255, blank=True)
    found_by = models.CharField(max_length=255, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.reason


class ProgramDeed(models.Model):
    """What an API key, a user's token or a shell did: one row an action. The admin log has users alone."""

    at = models.DateTimeField(default=timezone.now)
    # By name, which outlives the key: "key game (…)", "user ada", "shell: root".
    who = models.CharField(max_length=128)
    # What it was done to, as `proxy.connection`, and if to one row alone, which.
    kind = models.CharField(max_length=128)
    object_id = models.CharField(max_length=255, blank=True)
    about = models.CharField(max_length=200, blank=True)
    flag = models.PositiveSmallIntegerField(default=CHANGE)  # as in the admin log
    said = models.TextField(blank=True)
    count = models.PositiveIntegerField(null=True)
    reason = models.CharField(max_length=255, blank=True)
    found_by = models.CharField(max_length=255, blank=True)

    class Meta:
        default_permissions = ()
        ordering = ["-id"]
        indexes = [models.Index(fields=["at"], name="program_deed_at")]

    def __str__(self) -> str:
        return f"{self.said} ({self.who})"
