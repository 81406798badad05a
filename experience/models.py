"""What the product keeps in the database."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from proxy.api import MOST_CAPACITY, MOST_MESSAGE_CHARS, is_printable


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


def is_slug(text: str) -> None:
    """Raises ValidationError for what no client asks for as it stands."""
    if not is_printable(text) or text != text.strip():
        raise ValidationError("Printable text, without blanks around it.")


class Experience(models.Model):
    """What staff say of one experience. Without a row it is open to as many as come."""

    # As long as the record of a connection has room for its topic.
    slug = models.CharField(
        max_length=117, unique=True, validators=[is_slug], help_text="As clients ask for it: ?experience=…"
    )
    title = models.CharField(max_length=128, blank=True, help_text="For staff.")
    enabled = models.BooleanField(default=True, editable=False)
    # Of one that is disabled: the links that live end, too.
    ends_links = models.BooleanField(default=False, editable=False)
    maintenance_message = models.CharField(
        max_length=MOST_MESSAGE_CHARS,
        blank=True,
        help_text="What clients are told while it is disabled. Empty: the gateway's own words.",
    )
    capacity = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_CAPACITY)],
        help_text="How many connections there may be at a time, over all nodes. Empty: any number.",
    )

    class Meta:
        ordering = ["slug"]
        permissions = [
            ("enable_experience", "Can enable and disable experiences"),
            ("view_experience_by_token", "Can see experiences over the HTTP API, by a token"),
            (
                "enable_experience_by_token",
                "Can enable, disable experiences over the HTTP API, by a token",
            ),
            ("change_experience_by_token", "Can change experiences over the HTTP API, by a token"),
        ]

    def __str__(self) -> str:
        return self.slug
