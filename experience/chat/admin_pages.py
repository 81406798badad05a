"""What the chat's pages of admin share: changes that services hear of, and lists that stay on an index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from experience.chat.refusals import NoSuchConversation
from proxy.api import CheckedAdmin, GatewayError, ReadOnlyAdmin, foreign, is_user_id


def user_id(text: str) -> None:
    """Raises ValidationError for what no token can name."""
    if not is_user_id(text):
        raise ValidationError("A user id is printable text of 1 to 255 characters.")


def exact(rows: QuerySet[Any], field: str, term: str) -> QuerySet[Any]:
    """All of them where nothing is searched for."""
    return rows.filter(**{field: term.strip()}) if term.strip() else rows


def conversation_link(conversation_id: str) -> str:
    """To its page, which looks at permissions itself."""
    where = reverse("admin:chat_conversation_change", args=[conversation_id])
    return format_html('<a href="{}">{}</a>', where, conversation_id)


def lines(text: str) -> str:
    """What a user wrote, in lines as it was written."""
    return format_html_join(
        mark_safe("<br>"), "{}", ((foreign(line, otherwise=""),) for line in text.split("\n"))
    )


class ConversationFilter(admin.SimpleListFilter):
    """Offers none: those of one conversation are linked to from its page."""

    title = parameter_name = "conversation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return False

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(conversation_id=self.value()) if self.value() else queryset


class ToldAdmin(CheckedAdmin):
    """Rows that are added and deleted by membership.py, which tells the services, and never changed.

    `added_by` is the form that adds one, by `added_fields`; `fields` are what is shown of it.
    """

    added_by: ClassVar[type[forms.ModelForm]]  # type: ignore[type-arg]
    added_fields: ClassVar[Sequence[str]]
    paginator = ReadOnlyAdmin.paginator
    show_full_result_count = False
    list_per_page = list_max_show_all = 100
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["chat/admin.css"]}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({"form": self.added_by} if obj is None else {}))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.added_fields if obj is None else self.fields

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """As Django's; staff are told what is refused."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (GatewayError, ValueError) as error:
            return self._refused(request, error)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Likewise."""
        try:
            return super().delete_view(request, *args, **kwargs)
        except GatewayError as error:  # somebody else of the staff was first
            return self._refused(request, error)

    def _refused(self, request: HttpRequest, error: Exception) -> HttpResponse:
        told = error.message if isinstance(error, GatewayError) else f"Nothing was changed: {error}."
        self.message_user(request, told, messages.ERROR)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
        return HttpResponseRedirect(reverse(name))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Only these: what goes with them may be a hundred thousand messages."""
        shown = [str(each) for each in objs]
        needed = set() if self.has_delete_permission(request) else {self.opts.verbose_name}
        return shown, {self.opts.verbose_name_plural: len(shown)}, needed, []

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for each in queryset:
            with contextlib.suppress(NoSuchConversation):  # somebody else of the staff was first
                self.delete_model(request, each)
