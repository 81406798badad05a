"""The live record (nodes, and every connection that they hold or held); refusals; blocks; revocations; kicks;
members of pools; API keys; events that wait to be shipped, and those for other services; whose turn it is.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from proxy import registry
from proxy.core.blocking import parse_network
from proxy.core.captures import blanks_of
from proxy.core.closes import ClosedBy

# How far ahead of ours the clock may be of who says before when.
CLOCKS_DIFFER = timedelta(minutes=1)
CLOSED_BY = [(by.value, by.value.replace("_", " ")) for by in ClosedBy]


class Node(models.Model):
    """One gateway process. It writes its heartbeat; one that stops is lost, and others close its records."""

    id = models.CharField(primary_key=True, max_length=32, editable=False)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(db_index=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    draining = models.BooleanField(default=False)

    class Meta:
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Connection(models.Model):
    """One link, live while `closed_at` is null. Written in batches by the node that holds it."""

    id = models.CharField("ID", primary_key=True, max_length=32, editable=False)
    # No constraint: a record may reach the database before its node's row does, after an outage.
    node = models.ForeignKey(
        Node, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="connections"
    )
    route = models.CharField(max_length=64)
    # The database's own default, here and below: nodes of the release before do not know the column.
    path = models.CharField(max_length=255, blank=True, default="", db_default="")
    # The column has the name by which nodes of the release before write it.
    topic = models.CharField(max_length=128, blank=True, db_column="experience")
    user_id = models.CharField("user", max_length=255, blank=True, db_index=True)
    email = models.CharField(max_length=254, blank=True, db_index=True)
    client_address = models.GenericIPAddressField("address", null=True, blank=True, db_index=True)
    user_agent = models.CharField(max_length=255, blank=True)
    subprotocol = models.CharField("sub-protocol", max_length=128, blank=True)
    upstream = models.CharField("upstream member", max_length=255, blank=True)
    request_id = models.CharField("request ID", max_length=64, blank=True)
    opened_at = models.DateTimeField("opened")
    last_activity_at = models.DateTimeField("last activity", null=True, blank=True)
    closed_at = models.DateTimeField("closed", null=True, blank=True)
    close_code = models.PositiveSmallIntegerField(null=True, blank=True)
    close_reason = models.CharField(max_length=123, blank=True)
    closed_by = models.CharField(max_length=16, blank=True, choices=CLOSED_BY)
    cause = models.CharField(max_length=32, blank=True, default="", db_default="")
    messages_in = models.PositiveBigIntegerField("messages from client", default=0)
    messages_out = models.PositiveBigIntegerField("messages to client", default=0)
    bytes_in = models.PositiveBigIntegerField("bytes from client", default=0)
    bytes_out = models.PositiveBigIntegerField("bytes to client", default=0)
    messages_dropped = models.PositiveBigIntegerField("messages over the rate", default=0, db_default=0)

    class Meta:
        # Live ones first, newest first; then the closed ones, last closed first.
        ordering = [models.F("closed_at").desc(nulls_first=True), "-opened_at", "id"]
        indexes = [
            models.Index(fields=["-closed_at", "-opened_at", "id"], name="connection_listing"),
            models.Index(fields=["node"], name="connection_node"),
            models.Index(fields=["path"], name="connection_path", opclasses=["varchar_pattern_ops"]),
            models.Index(
                fields=["node", "-opened_at"], name="connection_live", condition=models.Q(closed_at=None)
            ),
            *(
                models.Index(
                    fields=[field, "-closed_at"],
                    name=f"connection_closed_{field}",
                    condition=models.Q(closed_at__isnull=False),
                )
                for field in ("topic", "route", "node", "cause")
            ),
        ]
        permissions = [("kick_connection", "Can kick connections")]

    def __str__(self) -> str:
        return self.id


class Refusal(models.Model):
    """A handshake that was refused, or `times` like it within a minute. Written in batches by its node."""

    id = models.CharField("ID", primary_key=True, max_length=32, editable=False)
    node = models.ForeignKey(
        Node, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    refused_at = models.DateTimeField("when")
    times = models.PositiveIntegerField(default=1)
    cause = models.CharField(max_length=64)
    reason = models.CharField(max_length=255, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    close_code = models.PositiveSmallIntegerField(null=True, blank=True)
    route = models.CharField(max_length=64)
    path = models.CharField(max_length=255, blank=True)
    upstream = models.CharField("upstream member", max_length=255, blank=True)
    user_id = models.CharField("user", max_length=255, blank=True)
    email = models.CharField(max_length=254, blank=True)
    client_address = models.GenericIPAddressField("address", null=True, blank=True)
    user_agent = models.CharField(max_length=255, blank=True)
    request_id = models.CharField("request ID", max_length=64, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ["-refused_at", "id"]
        indexes = [
            models.Index(fields=["-refused_at", "id"], name="refusal_listing"),
            *(  # these by their beginnings, too
                models.Index(
                    fields=[field, "-refused_at"],
                    name=f"refusal_{field}",
                    opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                )
                for field in ("user_id", "email")
            ),
            *(
                models.Index(fields=[field, "-refused_at"], name=f"refusal_{field}")
                for field in ("cause", "route", "client_address", "request_id")
            ),
        ]

    def __str__(self) -> str:
        return self.id


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

    class Meta:
        ordering = ["-created_at", "-id"]

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
        if not (self.user_id + self.jti).isprintable():
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
    breaker = models.CharField(max_length=16)
    links = models.PositiveIntegerField(default=0)
    dial_ms = models.FloatField(null=True)
    last_error = models.CharField(max_length=255, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "pool", "url"], name="one_report_per_member")]

    def __str__(self) -> str:
        return f"{self.url}: {self.state}"


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


class ApiKey(models.Model):
    """What a program shows to the HTTP API. Its secret is kept hashed; a revoked one stays as a row."""

    MAX_NAME_CHARS = 64

    id = models.CharField("ID", primary_key=True, max_length=12, editable=False)
    name = models.CharField(max_length=MAX_NAME_CHARS, help_text="Who uses it.")
    digest = models.CharField(max_length=64, editable=False)
    publish = models.JSONField("topics", default=list)
    may_kick = models.BooleanField(default=False)
    may_list_connections = models.BooleanField(default=False)
    # The database's own default, of both: nodes of the release before do not know the columns.
    may_revoke = models.BooleanField(default=False, db_default=False)
    other_rights = models.JSONField(default=list, db_default=models.Value([], models.JSONField()))
    created_at = models.DateTimeField("issued", auto_now_add=True)
    last_used_at = models.DateTimeField("last used", null=True, blank=True)
    revoked_at = models.DateTimeField("revoked", null=True, blank=True)

    class Meta:
        ordering = [models.F("revoked_at").desc(nulls_first=True), "-created_at", "id"]
        verbose_name = "API key"
        default_permissions = ("view", "change")
        # Those for publishing are made as routes declare kinds of topics: proxy/tables/token_permissions.py.
        permissions = [
            ("kick_by_token", "Can kick over the HTTP API, by a token"),
            ("list_by_token", "Can list connections over the HTTP API, by a token"),
            ("revoke_by_token", "Can revoke tokens over the HTTP API, by a token"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
