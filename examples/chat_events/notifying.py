"""What a notification service does about an event of the chat, whichever broker brings it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

MOST_IDS = 10_000


class Seen:
    """The ids that were worked on last. One that must not forget keeps them with what it writes."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def has(self, message_id: str) -> bool:
        return message_id in self._ids

    def add(self, message_id: str) -> None:
        self._ids[message_id] = None
        if len(self._ids) > MOST_IDS:
            self._ids.popitem(last=False)


def line(event: dict[str, Any]) -> str:
    """What is to be done about an event, which here is a line."""
    where = event["conversation_id"]
    if event["type"] == "message.created":
        message = event["message"]
        others = [each for each in event["participants"] if each != message["sender_id"]]
        return f"notify {', '.join(others)}: {message['sender_id']} in {where}: {message['text']}"
    if event["type"] == "conversation.blocked":
        return f"{event['by_user_id']} has blocked {event['target_user_id']} in {where}"
    if event["type"] == "conversation.unblocked":
        return f"{event['by_user_id']} and {event['target_user_id']} may write to each other in {where}"
    return f"an event that is new to us: {event['type']}"
