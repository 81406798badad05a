"""Revocations: whose tokens were taken back, why, when and by whom; and taking more of them back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from proxy.admin.leading_back import LeadsBack
from proxy.admin.pages import ReadOnlyAdmin, foreign, foreign_field, moment, name_date_and_time
from proxy.cluster.revocations import log_revoked
from proxy.models import Revocation
from proxy.tables.blocking import WORD


class RevocationForm(forms.ModelForm):  # type: ignore[type-arg]
    """One that names nobody is everybody's, and wants a word typed."""

    word = forms.CharField(
        label="For everybody",
        required=False,
        help_text=f"Where neither a user nor a token id is named. Type “{WORD}”.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "reason" in self.fields:  # not for who may only look
            self.fields["reason"].required = True
            name_date_and_time(self.fields["issued_before"], "Issued before")
            for name in ("user_id", "jti"):  # an id may end with a blank, and then is another's without
                self.fields[name].strip = False  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        is_named = cleaned.get("user_id") or cleaned.get("jti")
        is_everybodys = not is_named and cleaned.get("issued_before")
        if is_everybodys and cleaned.get("word", "").strip().lower() != WORD:
            self.add_error("word", ValidationError(f"This is everybody: type “{WORD}”, or name a user."))
        return cleaned

    class Meta:
        model = Revocation
        fields = ("user_id", "jti", "issued_before", "reason")


@admin.register(Revocation)
class RevocationAdmin(LeadsBack, ReadOnlyAdmin):
    """A new one ends the links of such tokens on every node, and refuses them until they expire."""

    list_display = ["whose", "before", "why", "since", "who", "state"]
    list_select_related = ["created_by"]
    search_fields = ["user_id__startswith", "jti"]
    search_help_text = "The start of a user id, or a whole token id."
    form = RevocationForm
    fields = ["user", "token_id", "before", "why", "since", "who", "state"]
    user = foreign_field("user_id", "User")
    token_id = foreign_field("jti", "Token id")
    why = foreign_field("reason", "Reason")

    def get_fields(self, request: HttpRequest, obj: Revocation | None = None) -> Any:
        return super().get_fields(request, obj) if obj else [*RevocationForm.Meta.fields, "word"]

    def get_fieldsets(self, request: HttpRequest, obj: Revocation | None = None) -> Any:
        return [(None, {"fields": self.get_fields(request, obj)})]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("proxy.revoke_tokens")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_revoke_permission(request)

    def save_model(self, request: HttpRequest, obj: Revocation, form: Any, change: bool) -> None:
        obj.created_by = request.user  # type: ignore[assignment]  # staff are logged in
        obj.source = str(request.user)[:128]
        super().save_model(request, obj, form, change)
        log_revoked(obj)

    def construct_change_message(self, request: Any, form: Any, formsets: Any, add: bool = False) -> Any:
        """With the reason, which outlives the row here."""
        return f"Revoked: {form.instance.reason}"

    @admin.display(description="Revoked", ordering="user_id")
    def whose(self, row: Revocation) -> str:
        if row.jti:
            return format_html('<small class="quiet">the token</small>{}', foreign(row.jti))
        return foreign(row.user_id) if row.user_id else "everybody"

    @admin.display(description="Issued before", ordering="issued_before")
    def before(self, row: Revocation) -> str:
        if row.issued_before is None:
            return "-"
        return timezone.localtime(row.issued_before).strftime("%Y-%m-%d %H:%M:%S %Z")

    @admin.display(description="Since", ordering="created_at")
    def since(self, row: Revocation) -> str:
        return moment(row.created_at)

    @admin.display(description="By")
    def who(self, row: Revocation) -> str:
        return foreign(str(row.created_by or row.source))

    @admin.display(description="Remembered", ordering="until")
    def state(self, row: Revocation) -> str:
        is_over = row.until <= timezone.now()
        css, text = ("gateway-closed", "over since") if is_over else ("gateway-down", "until")
        when = timezone.localtime(row.until).strftime("%Y-%m-%d %H:%M %Z")
        return format_html('<span class="{}">{} {}</span>', css, text, when)
