"""Members of pools, as staff set them and as nodes see them."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from proxy import registry
from proxy.core.captures import blanks_of
from proxy.models.connections import Node


class PoolMember(models.Model):
    """One member of a pool. While a pool has rows, they are its members, in place of the settings'."""

    pool = models.CharField(max_length=64)
    url = models.CharField("URL", max_length=255)
    weight = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    max_connections = models.PositiveIntegerField(
        "most links",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="On each gateway process. Empty: no cap.",
    )
    draining = models.BooleanField(default=False, help_text="It gets no new links.")
    move_seconds = models.PositiveIntegerField(
        "move over seconds",
        null=True,
        blank=True,
        help_text="While draining, also end the links that it has, spread over so many seconds. "
        "Empty: they end by themselves.",
    )

    class Meta:
        ordering = ["pool", "url"]
        constraints = [models.UniqueConstraint(fields=["pool", "url"], name="one_row_per_member")]
        verbose_name_plural = "pools"
        permissions = [("drain_poolmember", "Can drain pool members and bring them back")]

    def __str__(self) -> str:
        return f"{self.url} ({self.pool})"

    def clean(self) -> None:
        try:
            self.url = registry.upstream(self.pool).member_url(self.url)
            PoolMember._meta.get_field("url").run_validators(self.url)
        except ValueError as error:
            raise ValidationError({"url": str(error)}) from None
        for name in sorted(blanks_of(self.url) - registry.captures_of(self.pool)):
            raise ValidationError({"url": f"no path that leads to this pool captures {{{name}}}"})


class MemberReport(models.Model):
    """What one node last saw of one member; written every few seconds, deleted when the node is gone."""

    node = models.ForeignKey(Node, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    pool = models.CharField(max_length=64)
    url = models.CharField(max_length=255)
    state = models.CharField(max_length=16)
    # Since when that is so, by the database; None: nodes of the release before do not say.
    since = models.DateTimeField(null=True)
    breaker = models.CharField(max_length=16)
    links = models.PositiveIntegerField(default=0)
    dial_ms = models.FloatField(null=True)
    last_error = models.CharField(max_length=255, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "pool", "url"], name="one_report_per_member")]

    def __str__(self) -> str:
        return f"{self.url}: {self.state}"
