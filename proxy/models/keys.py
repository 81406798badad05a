"""API keys."""

from __future__ import annotations

from django.db import models

from proxy.core.rights import OF_STAFF


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
            *(
                (f"{name}_by_token", f"{told} over the HTTP API, by a token")
                for name, told in OF_STAFF.items()
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"
