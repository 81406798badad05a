"""What a user's sockets are told of, without the services around them."""

from __future__ import annotations

from typing import cast

from experience.chat.attendance import Attendance, User
from proxy.api import Event


class Noted:
    """What is told to whom joins sockets with conversations."""

    instance = "this one"

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []

    def note(self, conversation_id: str, user_id: str) -> None:
        self.news.append((conversation_id, user_id))


def test_what_the_http_api_says_of_a_user_is_heard_at_once() -> None:
    """It names no instance: it is none."""
    noted = Noted()
    text = '{"type":"conversation.changed","conversation_id":"c","participants":["alice","bob"]}'
    User("alice", cast(Attendance, noted)).inject(Event(text))

    assert noted.news == [("c", "alice")]
