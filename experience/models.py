"""What the product keeps in the database."""

from __future__ import annotations

from django.db import models


class PlayerState(models.Model):
    """What one user has reached in one experience; written by the reference KB service alone."""

    experience = models.CharField(max_length=128)
    user_id = models.CharField("user", max_length=255, db_index=True)
    inventory = models.JSONField(default=list, blank=True)
    quest_stage = models.CharField(max_length=16, default="available")
    version = models.PositiveIntegerField(default=0)
    # What the last moves that had a request id were answered, as [request id, reply], oldest first.
    replies = models.JSONField(null=True, blank=True, editable=False)
    # False: the last change has not been announced yet, as far as is known.
    is_announced = models.BooleanField(default=True, db_default=True, editable=False)
    updated_at = models.DateTimeField("updated", auto_now=True)

    class Meta:
        ordering = ["-updated_at", "id"]
        constraints = [models.UniqueConstraint(fields=["experience", "user_id"], name="one_state_per_player")]
        indexes = [
            models.Index(
                fields=["id"], name="experience_not_announced", condition=models.Q(is_announced=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.experience}"
