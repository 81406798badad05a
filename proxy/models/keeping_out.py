"""Whom staff keep out: blocks, tokens that are taken back, and links that were ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from proxy.core.blocking import parse_network
from proxy.core.human import is_printable
from proxy.models.connections import Node

# How far ahead of ours the clock may be of who says before when.
CLOCKS_DIFFER = timedelta(minutes=1)


class Block(models.Model):
    """Somebody who is kept out: a user, an address or a network, or that user from there; until a time."""

    user_id = models.CharField("user", max_length=255, blank=True, db_index=True)
    network = models.CharField(
        "address or network", max_length=43, blank=True, help_text="Such as 192.0.2.7 or 2001:db8::/32."
    )
    until = models.DateTimeField(null=True, blank=True, help_text="Empty: for good.")
    reason = models.CharField(max_length=255, blank=True, help_text="For staff; clients are not told.")
    created_at = models.DateTimeField("since", auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name="by",
    )
    # By name, which outlives the user, and is all that a shell or an API key has.
    source = models.CharField(max_length=128, blank=True, default="", db_default="", editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]

    @property
    def source_name(self) -> str:
        """Who placed it: staff, a program or a shell, by name; "": nobody knows."""
        return self.source or ("" if self.created_by is None else self.created_by.get_username())

    def placed_by(self, by: Any) -> None:
        """Say who places it: a user, or by its name a program."""
        if not isinstance(by, str):
            self.created_by = by
        self.source = str(by)[: Block._meta.get_field("source").max_length]

    def __str__(self) -> str:
        return " from ".join(filter(None, [self.user_id, self.network]))

    def clean(self) -> None:
        if not (self.user_id or self.network):
            raise ValidationError("Name a user, an address, or both.")
        if self.network:
            try:
                self.network = str(parse_network(self.network))
            except ValueError:
                raise ValidationError({"network": "This is no address and no network."}) from None


def remembered_until() -> datetime:
    """Until when a revocation of now matters: by then every token that it takes back has expired."""
    seconds = settings.JWT_LIFETIME_SECONDS + settings.JWT_LEEWAY_SECONDS + settings.TOKEN_GRACE_SECONDS
    return timezone.now() + CLOCKS_DIFFER + timedelta(seconds=seconds)


class Revocation(models.Model):
    """Tokens that are good no more: all of a user, or of everybody, issued before a time; or one, by its id.

    Rows are added, and forgotten once they are over; none is changed.
    """

    user_id = models.CharField("user", max_length=255, blank=True, default="")
    jti = models.CharField(
        "token id", max_length=255, blank=True, default="", help_text="The claim jti of one token."
    )
    issued_before = models.DateTimeField(
        null=True, blank=True, help_text="Tokens that were issued later stay good. Empty: now."
    )
    reason = models.CharField(max_length=255, blank=True, help_text="For staff; clients are not told.")
    created_at = models.DateTimeField("since", db_default=Now(), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name="by",
    )
    source = models.CharField(max_length=128, blank=True, default="", editable=False)
    until = models.DateTimeField("remembered until", default=remembered_until, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        default_permissions = ("view",)
        permissions = [("revoke_tokens", "Can revoke tokens")]
        indexes = [
            models.Index(fields=["created_at"], name="revocation_created"),
            models.Index(fields=["until"], name="revocation_until"),
            models.Index(fields=["user_id", "issued_before"], name="revocation_user"),
            models.Index(fields=["jti"], name="revocation_jti", condition=~models.Q(jti="")),
        ]

    def __str__(self) -> str:
        if self.jti:
            return f"the token {self.jti}"
        return f"tokens of {self.user_id or 'everybody'} issued before {self.issued_before:%Y-%m-%d %H:%M:%S}"

    def named(self) -> dict[str, Any]:
        """What it names, as answers and log lines say it."""
        before = self.issued_before.isoformat() if self.issued_before else ""
        named = {"user": self.user_id, "jti": self.jti, "issued_before": before}
        return {name: value for name, value in named.items() if value}

    def clean(self) -> None:
        """Complete it, too: tokens of a user that were issued before now, where nobody says before when."""
        if self.jti and (self.user_id or self.issued_before):
            raise ValidationError("A token id says it all: no user and no time beside it.")
        if not (self.jti or self.user_id or self.issued_before):
            raise ValidationError("Name a user, a token id or a time.")
        if not (is_printable(self.user_id) and is_printable(self.jti)):
            raise ValidationError("A user id, or a token's, is printable text.")
        now = timezone.now()
        if not self.jti and self.issued_before is None:
            self.issued_before = now
        if self.issued_before is not None and self.issued_before > now + CLOCKS_DIFFER:
            raise ValidationError({"issued_before": "Not a time to come: new tokens would be refused, too."})


class Kick(models.Model):
    """Links that staff ended: kept for nodes that missed the message. A kick ends no link that is younger."""

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    user_ids = models.JSONField(default=list)
    connection_ids = models.JSONField(default=list)
    everyone = models.BooleanField(default=False)
    reason = models.CharField(max_length=123)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class KickReport(models.Model):
    """How many links one node ended for one kick; 0 says that it knows of it."""

    kick = models.ForeignKey(Kick, on_delete=models.CASCADE, db_constraint=False, related_name="reports")
    node = models.ForeignKey(Node, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    links = models.PositiveIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["kick", "node"], name="one_report_per_kick")]

    def __str__(self) -> str:
        return f"{self.links} links"
