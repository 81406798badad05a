"""GET /api/audit: what staff and programs did; GET /api/messages: what staff said to people, of that."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, ClassVar

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.models import Deed
from proxy.rest.fields import Body, Text
from proxy.rest.schema import ERRORS
from proxy.rest.staff_view import StaffApiView
from proxy.tables.audit import Asked, Page, Place, page
from proxy.tables.known import kind_called

MOST = 1_000
_MAX_CHARS = 255
_FLAGS = {"added": ADDITION, "changed": CHANGE, "deleted": DELETION}
_WORDS = {flag: word for word, flag in _FLAGS.items()}


class PageWantedSerializer(Body):
    """Which page."""

    limit = serializers.IntegerField(min_value=1, max_value=MOST, default=100)
    before = Text(max_length=64, required=False, help_text="`older` of the page before.")


class AuditWantedSerializer(PageWantedSerializer):
    """Which entries, and which page of them."""

    who = Text(max_length=_MAX_CHARS, default="", allow_blank=True, help_text="By whom, in full.")
    kind = Text(max_length=_MAX_CHARS, default="", allow_blank=True, help_text="Such as `proxy.block`.")
    done = serializers.ChoiceField([*_FLAGS], required=False)
    since = serializers.DateTimeField(required=False, default_timezone=UTC)
    text = Text(
        max_length=_MAX_CHARS,
        default="",
        allow_blank=True,
        help_text="Words that are all in what was said, or in what it was done to.",
    )


class MessagesWantedSerializer(PageWantedSerializer):
    """Which messages."""

    who = Text(max_length=_MAX_CHARS, default="", allow_blank=True, help_text="By whom, in full.")
    text = Text(max_length=_MAX_CHARS, default="", allow_blank=True, help_text="Words that are in it.")


class EntrySerializer(serializers.Serializer[Deed]):
    """One action."""

    id = serializers.IntegerField(help_text="As in admin; below zero: a program did it.")
    at = serializers.DateTimeField(source="action_time")
    who = serializers.CharField(source="user.get_username")
    by_program = serializers.BooleanField(source="is_of_program")
    kind = serializers.CharField(help_text="What it was done to, such as `proxy.block`.")
    object_id = serializers.CharField(allow_null=True, help_text="Of the row, where it was one alone.")
    about = serializers.CharField(source="object_repr")
    done = serializers.SerializerMethodField(help_text="added, changed or deleted.")
    said = serializers.CharField(source="get_change_message")
    count = serializers.IntegerField(allow_null=True, help_text="How many rows it hit, where it counts them.")
    reason = serializers.CharField(help_text="Why; `said` has it, too. Empty: none was given.")
    found_by = serializers.CharField(help_text="The filter that found the rows; or empty.")

    def get_done(self, deed: Deed) -> str:
        return _WORDS.get(deed.action_flag, "")


class EntriesSerializer(serializers.Serializer[Page]):
    """A page."""

    older = serializers.CharField(allow_null=True, help_text="For `before`; null: there are no more.")
    results = EntrySerializer(many=True, source="entries")


class Audit(StaffApiView):
    """Everything that was done by hand."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_deed"}

    @extend_schema(
        operation_id="audit", parameters=[AuditWantedSerializer], responses={200: EntriesSerializer, **ERRORS}
    )
    def get(self, request: Request) -> Response:
        """What staff and programs did, the last first."""
        wanted = self.query(AuditWantedSerializer())
        wanted["kind"] = wanted["kind"] and kind_called(wanted["kind"])
        flag = _FLAGS.get(wanted.pop("done", ""))
        limit, before = wanted.pop("limit"), wanted.pop("before", None)
        return _answered(Asked(**wanted, flag=flag), limit=limit, before=before)


class Messages(StaffApiView):
    """What staff and programs said to people."""

    needs: ClassVar[Mapping[str, str]] = {"GET": "view_deed"}

    @extend_schema(
        operation_id="staff_messages",
        parameters=[MessagesWantedSerializer],
        responses={200: EntriesSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """What was said to those who were connected, the last first: entries of the audit."""
        wanted = self.query(MessagesWantedSerializer())
        asked = Asked(who=wanted["who"], text=wanted["text"], kind="proxy.connection", begins="Told ")
        return _answered(asked, limit=wanted["limit"], before=wanted.get("before"))


def _answered(asked: Asked, *, limit: int, before: str | None) -> Response:
    try:
        below = None if before is None else Place.parse(before)
    except ValueError:
        raise ParseError("before: it is no place in this list") from None
    found = page(asked, below=below, most=limit)
    told: dict[str, Any] = dict(EntriesSerializer(found).data)
    return Response(told | {"older": None if found.older is None else str(found.older)})
