"""A person's page: one user's story, what is live, and what to do; and the search that finds people."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from proxy.admin.blocking import since
from proxy.admin.people.lines import lines_of
from proxy.admin.people.urls import person_of, person_url
from proxy.core.human import visible
from proxy.core.people import MAX_USER_ID_CHARS, Place
from proxy.models import Connection, Person
from proxy.tables.blocking import blocks_of
from proxy.tables.finding_people import Result, find
from proxy.tables.people import MOST_LIVE, Sight, Story, story_of
from proxy.tables.person_entries import refused
from proxy.tables.staff_notes import MAX_NOTE_CHARS, add_note, delete_note

MAX_TERM_CHARS = 255


class NoteForm(forms.Form):
    """What one member of staff leaves for the others."""

    text = forms.CharField(
        label="Note",
        max_length=MAX_NOTE_CHARS,
        help_text="For staff. It stays until somebody deletes it.",
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
    )


@admin.register(Person)
class PersonAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A search in place of a list, and a page for every user id there may be."""

    class Media:
        css = {"all": ["proxy/admin.css"]}
        js = [Script("proxy/live.js", type="module")]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="proxy_person_changelist"),
            path("<path:key>/", view(self.person_view), name="proxy_person_change"),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("proxy.view_connection")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The search, which leads on where it finds one person, or one record of nobody known."""
        self._check(request)
        term = request.GET.get("q", "")[:MAX_TERM_CHARS]
        found = find(term, sees_refusals=self._sight(request).refusals) if term.strip() else Result()
        url = _only_page(found)
        if url:
            return HttpResponseRedirect(url)
        lines = lines_of(refused(row) for row in found.rows if not isinstance(row, Connection))
        context = self._context(request, "Find a person") | {"term": term, "found": found, "lines": lines}
        return TemplateResponse(request, "admin/proxy/person/search.html", context)

    def person_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """All that is known of one user, a page of the timeline at a time."""
        self._check(request)
        user_id = person_of(key)
        if not _may_be(user_id):
            raise Http404("No user id is like that.")
        if request.method == "POST":
            return self._write(request, user_id)
        try:
            below = Place.parse(request.GET["before"]) if "before" in request.GET else None
        except ValueError:
            return HttpResponseRedirect(person_url(user_id))
        story = story_of(user_id, self._sight(request), below=below)
        context = self._context(request, visible(user_id)) | self._shown(request, user_id, story)
        context["is_newest"] = below is None
        return TemplateResponse(request, "admin/proxy/person/person.html", context)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _sight(self, request: HttpRequest) -> Sight:
        sees = request.user.has_perm
        return Sight(
            refusals=sees("proxy.view_refusal"),
            blocks=sees("proxy.view_block"),
            revocations=sees("proxy.view_revocation"),
            notes=sees("proxy.view_staffnote"),
        )

    def _context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        return {**context, "title": title, "opts": self.opts, "media": self.media}

    def _shown(self, request: HttpRequest, user_id: str, story: Story) -> dict[str, Any]:
        sees_blocks = self._sight(request).blocks
        address = (story.newest.client_address or "") if story.newest else ""
        blocks, is_cut = blocks_of(user_id, address) if sees_blocks else ([], False)
        return {
            "user_id": user_id,
            "here": request.get_full_path(),
            "person_url": person_url(user_id),
            "story": story,
            "most_live": MOST_LIVE,
            "lines": lines_of(story.page.entries),
            "blocks": [(block, since(block)) for block in blocks],
            "has_more_blocks": is_cut,
            "note_form": NoteForm(),
        }

    def _write(self, request: HttpRequest, user_id: str) -> HttpResponse:
        """Add a note, or delete one."""
        is_deletion = "delete_note" in request.POST
        if not request.user.has_perm("proxy.delete_staffnote" if is_deletion else "proxy.add_staffnote"):
            raise PermissionDenied
        if is_deletion:
            self._delete_note(request, user_id, request.POST["delete_note"])
        else:
            self._add_note(request, user_id)
        return HttpResponseRedirect(request.get_full_path())

    def _add_note(self, request: HttpRequest, user_id: str) -> None:
        form = NoteForm(request.POST)
        if not form.is_valid():
            self.message_user(request, " ".join(map(str, form.errors["text"])), messages.ERROR)
            return
        add_note(user_id, form.cleaned_data["text"], by=request.user)
        self.message_user(request, "The note was added.", messages.SUCCESS)

    def _delete_note(self, request: HttpRequest, user_id: str, note_id: str) -> None:
        if delete_note(note_id, by=request.user, user_id=user_id) is None:
            self.message_user(request, "There is no such note any more.", messages.WARNING)
        else:
            self.message_user(request, "The note was deleted.", messages.SUCCESS)


def _may_be(user_id: str) -> bool:
    """Whether records can have it; older ones may have what no token brings any more."""
    try:
        user_id.encode()
    except UnicodeEncodeError:
        return False
    return 0 < len(user_id) <= MAX_USER_ID_CHARS and "\0" not in user_id


def _only_page(found: Result) -> str:
    """Where a search leads that has found one thing alone, or ""."""
    if found.only is not None:
        return person_url(found.only.user_id)
    if len(found.rows) == 1 and not found.people and not found.place:
        (row,) = found.rows
        return reverse(f"admin:proxy_{row._meta.model_name}_change", args=[quote(row.pk)])
    return ""
