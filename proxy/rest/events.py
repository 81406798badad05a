"""POST /api/events: publishing, one event or many."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ParseError, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.cluster.asking import ask_sync
from proxy.cluster.publishing import MAX_IDEMPOTENCY_CHARS, Delivered, Publication
from proxy.cluster.questions import Question
from proxy.core.topics import MAX_TOPIC_CHARS
from proxy.registry import topic_kinds
from proxy.rest.api_view import ApiView, sentences
from proxy.rest.fields import Body, Text
from proxy.rest.schema import BODY_ERRORS

MOST_EVENTS = 1000


class EventSerializer(Body):
    """One event, and the topic that it is for."""

    topic = Text(max_length=MAX_TOPIC_CHARS, help_text="user:ID, connection:ID, everyone, or a route's own.")
    event = serializers.DictField(help_text="What clients read: an object with a text `type`.")
    idempotency_key = Text(
        max_length=MAX_IDEMPOTENCY_CHARS,
        required=False,
        allow_null=True,
        help_text="Repeated within five minutes, it publishes nothing; the answer is the first one.",
    )


class DeliveredSerializer(serializers.Serializer[Any]):
    """Who took it; both 0: nobody was there."""

    nodes = serializers.IntegerField(help_text="Gateway processes with such links.")
    links = serializers.IntegerField(help_text="Sockets that it was given to.")
    silent = serializers.IntegerField(
        required=False, help_text="Gateway processes that listen and have not answered in a second."
    )


class Events(ApiView):
    """Publishes events."""

    @extend_schema(
        operation_id="publish",
        request=PolymorphicProxySerializer(
            component_name="OneEventOrMany",
            serializers=[EventSerializer, EventSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        responses={
            200: PolymorphicProxySerializer(
                component_name="DeliveredOneOrMany",
                serializers=[DeliveredSerializer, DeliveredSerializer(many=True)],
                resource_type_field_name=None,
                many=False,
            ),
            **BODY_ERRORS,
        },
    )
    def post(self, request: Request) -> Response:
        """Publish one event, or up to 1,000 in order. All are checked before the first goes out."""
        sent = self.sent
        many = isinstance(sent, list)
        given: list[Any] = sent if many else [sent]
        if not 0 < len(given) <= MOST_EVENTS:
            raise ParseError(f"a list holds 1 to {MOST_EVENTS} events, not {len(given)}")
        read = EventSerializer()
        internal = {kind.name for kind in topic_kinds() if kind.is_internal}
        questions = [
            self._question(read, each, where=f"{at}: " if many else "", internal=internal)
            for at, each in enumerate(given)
        ]
        answers = [_told(Delivered.of(answers)) for answers in ask_sync(questions)]
        return Response(answers if many else answers[0])

    def _question(self, read: EventSerializer, given: Any, *, where: str, internal: Set[str]) -> Question:
        """What `given` publishes; errors say `where` it stands. To `internal` kinds nobody publishes."""
        try:
            fields = read.run_validation(given)
        except ValidationError as error:
            raise ParseError(where + sentences(error.detail)) from None
        if not self.caller.rights.may_publish(fields["topic"], internal=internal):
            raise PermissionDenied(f"{where}{self.caller.name} may not publish to {fields['topic']!r}")
        try:
            return Publication(**fields, publisher=self.caller.name).question()
        except ValueError as error:
            raise ParseError(f"{where}{error}") from None


def _told(delivered: Delivered) -> dict[str, int]:
    told = {"nodes": delivered.nodes, "links": delivered.links}
    return told | {"silent": delivered.silent} if delivered.silent else told
