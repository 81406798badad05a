"""Deleting asks first, with what will come of it, and takes a reason: one entry of the audit, however many
rows.

Django's own pages ask for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import DELETION
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from proxy.admin.asking import AsksFirst, Question, ReasonForm, answered
from proxy.admin.leading_back import came_from
from proxy.core.human import counted
from proxy.tables.deeds import Details, note_deed

MOST_NAMED = 20


class AsksToDelete(AsksFirst):
    """A ModelAdmin whose *Delete*, of a row or of those that are ticked, asks so. `deleted` is what is said
    of it when it is done."""

    actions = ["delete_selected"]
    deleted = "Deleted"

    def question_to_delete(self, rows: Sequence[Any]) -> Question:
        """What the page says and asks."""
        raise NotImplementedError

    def delete_rows(self, request: HttpRequest, rows: Sequence[Any], *, reason: str) -> None:
        """Within a transaction. Raises django.db.Error."""
        for row in rows:
            row.delete()

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_delete_permission(request, row):
            return super().delete_view(request, object_id, extra_context)  # which says so
        form = answered(ReasonForm, request)
        if not form.is_valid():
            back = came_from(request) or f"../change/?{request.GET.urlencode()}"
            return self.ask(request, self.question_to_delete([row]), form, back=back)
        self._delete(request, [row], reason=form.cleaned_data["reason"])
        return self.response_delete(request, str(row), row.pk)

    @admin.action(description="Delete the selected %(verbose_name_plural)s…", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, selected: QuerySet[Any]) -> TemplateResponse | None:
        rows, form = list(selected), answered(ReasonForm, request)
        if rows and not form.is_valid():
            return self.ask(request, self.question_to_delete(rows), form)
        if rows:
            deleted = self._delete(request, rows, reason=form.cleaned_data["reason"])
            told = f"{self.deleted} {self._counted(deleted)}."
            self.message_user(request, told, messages.SUCCESS)
        return None

    @transaction.atomic
    def _delete(self, request: HttpRequest, chosen: Sequence[Any], *, reason: str) -> Sequence[Any]:
        """Those of them that were there still, and that nobody else deletes meanwhile."""
        held = self.model._default_manager.select_for_update().filter(pk__in=[row.pk for row in chosen])
        if rows := list(held):
            ids = [str(row.pk) for row in rows]
            self.delete_rows(request, rows, reason=reason)
            self._note(request, rows, ids, reason=reason)
        return rows

    def _note(self, request: HttpRequest, rows: Sequence[Any], ids: Sequence[str], *, reason: str) -> None:
        count, named = self._counted(rows), ", ".join(map(str, rows[:MOST_NAMED]))
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        is_one = len(rows) == 1
        note_deed(
            request.user,
            self.model,
            f"{self.deleted}: {reason}" if is_one else f"{self.deleted} {count}: {reason} ({named}{more})",
            about=str(rows[0]) if is_one else count,
            object_id=ids[0] if is_one else "",
            details=Details(flag=DELETION, count=len(rows), reason=reason),
        )

    def _counted(self, rows: Sequence[Any]) -> str:
        return counted(len(rows), str(self.opts.verbose_name))
