"""API keys: whose they are, what they may do, when they were last used; and revoking them."""

from __future__ import annotations

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.pages import ReadOnlyAdmin, foreign, moment
from proxy.core.human import counted
from proxy.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """`manage.py issue_api_key` makes them; one that is revoked opens nothing from then on."""

    list_display = ["who", "state", "topics", "may", "issued", "last_used"]
    fields = ["used_by", "id", "state", "topics", "may", "issued", "last_used"]
    search_fields = ["id", "name__startswith"]
    search_help_text = "The start of a name, or a whole id. Keys are made by manage.py issue_api_key."
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("proxy.change_apikey")

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, selected: QuerySet[ApiKey]) -> None:
        now = timezone.now()
        revoked = [
            key
            for key in selected
            if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now)
        ]
        LogEntry.objects.log_actions(
            request.user.pk,  # type: ignore[arg-type]  # staff are logged in
            revoked,
            CHANGE,
            change_message="Revoked",
        )
        level = messages.SUCCESS if revoked else messages.WARNING
        self.message_user(request, f"{counted(len(revoked), 'key')} revoked.", level)

    @admin.display(description="Used by", ordering="name")
    def who(self, key: ApiKey) -> str:
        return format_html('{}<small class="quiet">{}</small>', foreign(key.name), key.pk)

    @admin.display(description="Used by")
    def used_by(self, key: ApiKey) -> str:
        return foreign(key.name)

    @admin.display(description="State", ordering="revoked_at")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is None:
            return format_html('<span class="gateway-live">{}</span>', "valid")
        return format_html('<span class="gateway-closed">revoked</span> {}', moment(key.revoked_at))

    @admin.display(description="Publishes to")
    def topics(self, key: ApiKey) -> str:
        return foreign(", ".join(key.publish))

    @admin.display(description="May also")
    def may(self, key: ApiKey) -> str:
        rights = {
            "kick": key.may_kick,
            "list connections": key.may_list_connections,
            "revoke": key.may_revoke,
        }
        given = [name for name, is_given in rights.items() if is_given]
        return foreign(", ".join([*given, *key.other_rights]))

    @admin.display(description="Issued", ordering="created_at")
    def issued(self, key: ApiKey) -> str:
        return moment(key.created_at)

    @admin.display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> str:
        return moment(key.last_used_at)
