"""What users send, and what they are answered, as OpenAPI has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework import serializers

from experience.chat.membership import MOST_AT_ONCE
from experience.chat.reading import MOST_UNREAD, Place
from proxy.api import Body, Text, is_user_id

MOST_A_PAGE, A_PAGE = 100, 50
_NO_USER = "A user id is printable text of 1 to 255 characters."


class UserId(Text):
    """As tokens name users."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not is_user_id(text):
            raise serializers.ValidationError(_NO_USER)
        return text


class Read(serializers.CharField):
    """Text that `parse` makes something of, or raises ValueError with what is wrong."""

    def __init__(self, parse: Callable[[str], Any] = str, **options: Any) -> None:
        super().__init__(required=False, default=None, max_length=512, **options)
        self._parse = parse

    def to_internal_value(self, data: Any) -> Any:
        text = super().to_internal_value(data)
        try:
            return self._parse(text)
        except (ValueError, OverflowError) as error:
            raise serializers.ValidationError(str(error)) from None


class NewConversation(Body):
    """With whom; who asks takes part anyway."""

    participants = serializers.ListField(child=UserId(), min_length=1, max_length=MOST_AT_ONCE)


class OneUser(Body):
    """Whom it is about."""

    user_id = UserId()


class Paged(Body):
    """How many, and from where on."""

    limit = serializers.IntegerField(min_value=1, max_value=MOST_A_PAGE, default=A_PAGE)


class ConversationsAsked(Paged):
    """A page of conversations."""

    before = Read(Place.parse, help_text="The `next` of the page before.")


class MessagesAsked(Paged):
    """A page of messages: the latest, unless one of the two is given."""

    before = Read(help_text="A message's id: those before it.")
    after = Read(help_text="A message's id: those after it.")

    def validate(self, attrs: Any) -> Any:
        if attrs["before"] is not None and attrs["after"] is not None:
            raise serializers.ValidationError("ask for `before` or for `after`, not for both")
        return attrs


# --- Answers -----


class MadeSerializer(serializers.Serializer[Any]):
    """A conversation, and who takes part in it."""

    id = serializers.CharField()
    participants = serializers.ListField(child=serializers.CharField())


class MessageSerializer(serializers.Serializer[Any]):
    """What somebody said. `created_at` is Unix seconds."""

    id = serializers.CharField()
    sender_id = serializers.CharField()
    text = serializers.CharField()
    created_at = serializers.IntegerField()


class ConversationSerializer(MadeSerializer):
    """`read` says up to which message each participant has read; who has read none is not in it."""

    unread = serializers.IntegerField(
        help_text=f"Messages of others that the caller has not read; {MOST_UNREAD}: at least so many."
    )
    last_message = MessageSerializer(allow_null=True)
    read = serializers.DictField(child=serializers.CharField())


class ConversationsSerializer(serializers.Serializer[Any]):
    """Those in which something happened last come first."""

    conversations = ConversationSerializer(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="To be given as `before`; null: there are no more."
    )


class MessagesSerializer(serializers.Serializer[Any]):
    """In their order."""

    messages = MessageSerializer(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="To be given as `after`, if that was asked for, else as `before`."
    )


class BlocksSerializer(serializers.Serializer[Any]):
    """Whom the caller has blocked."""

    blocks = serializers.ListField(child=serializers.CharField())
