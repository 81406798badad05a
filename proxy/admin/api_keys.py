"""API keys: whose they are, what they may do, when they were last used; and revoking them."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered
from proxy.admin.pages import ReadOnlyAdmin, foreign, moment
from proxy.core.human import counted
from proxy.models import ApiKey
from proxy.tables.deeds import Details, note_deed

_LATELY = timedelta(days=1)


@admin.register(ApiKey)
class ApiKeyAdmin(AsksFirst, ReadOnlyAdmin):
    """`manage.py issue_api_key` makes them; one that is revoked opens nothing from then on."""

    list_display = ["who", "state", "topics", "may", "issued", "last_used"]
    fields = ["used_by", "id", "state", "topics", "may", "issued", "last_used"]
    search_fields = ["id", "name__startswith"]
    search_help_text = "The start of a name, or a whole id. Keys are made by manage.py issue_api_key."
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("proxy.change_apikey")

    @admin.action(description="Revoke the selected keys…", permissions=["revoke"])
    def revoke(self, request: HttpRequest, selected: QuerySet[ApiKey]) -> TemplateResponse | None:
        keys, form = list(selected.filter(revoked_at=None)), answered(ReasonForm, request)
        if not keys:
            self.message_user(request, "None of them is valid: nothing to revoke.", messages.WARNING)
            return None
        if not form.is_valid():
            return self.ask(request, _question(keys), form)
        now = timezone.now()
        valid = ApiKey.objects.filter(revoked_at=None)
        revoked = [key for key in keys if valid.filter(pk=key.pk).update(revoked_at=now)]
        count = counted(len(revoked), "key")
        said = f"Revoked {count}: {form.cleaned_data['reason']} ({', '.join(map(str, revoked))})"
        object_id = revoked[0].pk if len(revoked) == 1 else ""
        about = str(revoked[0]) if object_id else count
        details = Details(count=len(revoked), reason=form.cleaned_data["reason"])
        note_deed(request.user, ApiKey, said, about=about, object_id=object_id, details=details)
        self.message_user(request, f"{count} revoked.", messages.SUCCESS if revoked else messages.WARNING)
        return None

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


def _question(keys: list[ApiKey]) -> Question:
    lately = sum(key.last_used_at is not None and timezone.now() - key.last_used_at < _LATELY for key in keys)
    count = counted(len(keys), "key")
    return Question(
        title="Revoke keys",
        says=[
            f"{count} will open nothing any more, from the next request on: {', '.join(map(str, keys))}.",
            f"{lately} of them {'was' if lately == 1 else 'were'} used in the last day.",
        ],
        do=f"Revoke {count}",
    )
