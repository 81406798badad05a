"""POST /api/notes and /api/notes/delete: what is written about people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.people import MAX_USER_ID_CHARS
from proxy.core.principal import is_user_id
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS, ErrorSerializer
from proxy.rest.staff_view import ReasonedBody, StaffApiView
from proxy.tables.staff_notes import MAX_NOTE_CHARS, add_note, delete_note


class NoteSerializer(Body):
    """What, and about whom."""

    user_id = Text(max_length=MAX_USER_ID_CHARS)
    text = Text(max_length=MAX_NOTE_CHARS, help_text="For staff. It stays until somebody deletes it.")


class NotedSerializer(serializers.Serializer[Any]):
    """A note."""

    id = serializers.CharField()
    user_id = serializers.CharField()
    text = serializers.CharField()
    at = serializers.DateTimeField()
    by = serializers.CharField()


class Notes(StaffApiView):
    """Notes about people. The person's story has them."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "add_staffnote"}

    @extend_schema(
        operation_id="add_note", request=NoteSerializer, responses={201: NotedSerializer, **BODY_ERRORS}
    )
    def post(self, request: Request) -> Response:
        """Write something about a user, for staff."""
        asked = self.read(NoteSerializer())
        if not is_user_id(asked["user_id"]):
            raise ParseError("user_id: no user id is like that")
        if not asked["text"].strip():
            raise ParseError("text: This field may not be blank.")
        row = add_note(asked["user_id"], asked["text"], by=self.caller.doer)
        return Response(NotedSerializer(row).data, status=201)


class DeleteNoteSerializer(ReasonedBody):
    """Which note."""

    id = Text(max_length=32)


class DeleteNote(StaffApiView):
    """Deletes notes."""

    needs: ClassVar[Mapping[str, str]] = {"POST": "delete_staffnote"}

    @extend_schema(
        operation_id="delete_note",
        request=DeleteNoteSerializer,
        responses={200: NotedSerializer, 404: ErrorSerializer, **BODY_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Delete a note, by its id. Answers what it said, as the audit does."""
        asked = self.read(DeleteNoteSerializer())
        row = delete_note(asked["id"], reason=asked["reason"], by=self.caller.doer)
        if row is None:
            raise NotFound("there is no such note")
        row.pk = asked["id"]
        return Response(NotedSerializer(row).data)
