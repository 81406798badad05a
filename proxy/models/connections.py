"""The live record: nodes, every connection that they hold or held, and whom they refused."""

from __future__ import annotations

from django.db import models

from proxy.core.closes import ClosedBy

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
    # When staff told it to: a node that no message reaches sees it as it beats.
    told_to_drain_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-started_at"]
        permissions = [("drain_node", "Can drain nodes")]

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
    user_id = models.CharField("user", max_length=255, blank=True)
    email = models.CharField(max_length=254, blank=True)
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
            models.Index(fields=["request_id"], name="connection_request_id"),
            *(  # a user's by when they opened; and by how they begin
                models.Index(
                    fields=[field, "-opened_at"],
                    name=f"connection_{name}_opened",
                    opclasses=["varchar_pattern_ops", "timestamptz_ops"],
                )
                for field, name in (("user_id", "user"), ("email", "email"))
            ),
            # Those that live first.
            models.Index(fields=["user_id", "-closed_at"], name="connection_user_closed"),
            models.Index(
                fields=["node", "-opened_at"], name="connection_live", condition=models.Q(closed_at=None)
            ),
            *(
                models.Index(
                    fields=[field, "-closed_at"],
                    name=f"connection_closed_{field}",
                    condition=models.Q(closed_at__isnull=False),
                )
                for field in ("topic", "route", "node", "cause", "closed_by")
            ),
        ]
        permissions = [
            ("kick_connection", "Can kick connections"),
            ("message_connection", "Can send messages to connections"),
            ("broadcast_connection", "Can send messages to everyone"),
            ("tap_connection", "Can look at what goes over connections"),
        ]

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
