"""What asks before it is done: a page that says what will come of it, with figures, and takes a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse

from proxy.admin.leading_back import came_from

CONFIRMED = "confirmed"
_Form = TypeVar("_Form", bound=forms.Form)


class ReasonForm(forms.Form):
    """Why staff do something, for other staff."""

    reason = forms.CharField(
        max_length=200,
        help_text="For the log of what staff did; clients are not told.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autofocus": True}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a page asks: `says` are its paragraphs, `warns` those in red, `do` is what its button says."""

    title: str
    says: Sequence[str]
    do: str
    warns: Sequence[str] = ()


class AsksFirst(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages that ask before they do something: what was posted to them is posted again, with the answer."""

    def back(self, request: HttpRequest) -> HttpResponseRedirect | None:
        """To where one came from, once an action is done; None: to the list."""
        url = came_from(request)
        return HttpResponseRedirect(url) if url else None

    def ask(
        self, request: HttpRequest, question: Question, form: forms.Form, *, back: str = ""
    ) -> TemplateResponse:
        """The page that asks; *Cancel* leads to `back`, or to where one came from."""
        own = {"csrfmiddlewaretoken", CONFIRMED, *form.fields}
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": question.title,
            "question": question,
            "opts": self.opts,
            "media": self.media,
            "form": form,
            "posted": [
                (name, value) for name, values in request.POST.lists() if name not in own for value in values
            ],
            "cancel_url": back or came_from(request) or request.get_full_path(),
        }
        return TemplateResponse(request, "admin/proxy/question_confirmation.html", context)


def answered(form: type[_Form], request: HttpRequest) -> _Form:
    """The form with what was answered, or empty before anything was."""
    return form(request.POST if CONFIRMED in request.POST else None)


def selection_of(request: HttpRequest) -> str:
    """By what rows were found that were chosen as a whole: the filters and the search; "" for ticked ones."""
    if request.POST.get("select_across") != "1":
        return ""
    return request.META.get("QUERY_STRING", "") or "no filter"
