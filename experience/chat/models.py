"""What the chat keeps: conversations, who takes part, what was said, who has blocked whom."""

from __future__ import annotations

from django.db import models

USER_ID_CHARS = 255
CONVERSATION_ID_CHARS = 32
KEY_CHARS = 128


class Conversation(models.Model):
    """Some users' messages to each other, in one order."""

    id = models.CharField(primary_key=True, max_length=CONVERSATION_ID_CHARS)
    created_by = models.CharField(max_length=USER_ID_CHARS)
    created_at = models.DateTimeField("created", auto_now_add=True)
    # Rises with every change of who takes part or is blocked: services that missed the word notice.
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)

    class Meta:
        ordering = ["-created_at", "id"]
        indexes = [models.Index(fields=["-created_at", "id"], name="chat_conversation_listing")]

    def __str__(self) -> str:
        return self.id


class Participant(models.Model):
    """One user in one conversation, and how far that user has read."""

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="participants")
    user_id = models.CharField("user", max_length=USER_ID_CHARS)
    joined_at = models.DateTimeField("joined", auto_now_add=True)
    read_sequence = models.PositiveBigIntegerField("read up to", default=0, db_default=0)
    read_at = models.DateTimeField("read", null=True, blank=True)

    class Meta:
        ordering = ["conversation", "user_id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "user_id"], name="chat_participant_once"),
        ]
        indexes = [models.Index(fields=["user_id"], name="chat_participant_user")]
        # Over HTTP the rights chat.add_participant and chat.delete_participant (docs/routes.md).
        permissions = [
            ("add_participant_by_token", "Can add participants over the HTTP API, by a token"),
            ("delete_participant_by_token", "Can remove participants over the HTTP API, by a token"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.conversation_id}"


class Message(models.Model):
    """What a participant said. Its `sequence` counts from 1 in its conversation, without a gap.

    Written by store.py alone, whose statement is what makes that true.
    """

    conversation = models.ForeignKey(Conversation, models.CASCADE, related_name="messages")
    sequence = models.PositiveBigIntegerField()
    sender_id = models.CharField("sender", max_length=USER_ID_CHARS)
    text = models.TextField()
    # NULL, of which there may be many, for none; "" would be a key.
    idempotency_key = models.CharField(max_length=KEY_CHARS, null=True, blank=True, editable=False)
    created_at = models.DateTimeField("sent")

    class Meta:
        ordering = ["conversation", "-sequence"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "sequence"], name="chat_message_in_order"),
            models.UniqueConstraint(fields=["sender_id", "idempotency_key"], name="chat_message_sent_once"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id}.{self.sequence}"


class Block(models.Model):
    """Nothing is said any more in conversations of just `by_user_id` and `target_user_id`."""

    by_user_id = models.CharField("by", max_length=USER_ID_CHARS)
    target_user_id = models.CharField("whom", max_length=USER_ID_CHARS, db_index=True)
    created_at = models.DateTimeField("since", auto_now_add=True)

    class Meta:
        ordering = ["by_user_id", "target_user_id"]
        constraints = [
            models.UniqueConstraint(fields=["by_user_id", "target_user_id"], name="chat_block_once"),
        ]

    def __str__(self) -> str:
        return f"{self.target_user_id} by {self.by_user_id}"
