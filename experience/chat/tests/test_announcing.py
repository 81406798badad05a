"""What instances tell each other, where one of the things to tell cannot be told."""

from __future__ import annotations

import asyncio

import pytest
from django.test import override_settings

from experience.chat import service_counts
from experience.chat.announcing import Announcer
from experience.chat.messages import ConversationTyping, MessageCreated, StoredMessage
from experience.chat.topics import of_conversation
from proxy.api import Background
from proxy.tests.counting import counted

TYPING = ConversationTyping("c", "alice", "on")
LONG = MessageCreated("c", StoredMessage("c.1", "alice", "x" * 1000, 1))


@override_settings(MAX_EVENT_BYTES=512)
async def test_what_is_too_large_to_be_told_keeps_nothing_else_from_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = {each: counted(service_counts.ANNOUNCEMENTS_TOTAL, each) for each in ("published", "dropped")}
    announcer, background = Announcer("this one"), Background()
    for message in (TYPING, LONG, TYPING):
        announcer.announce(of_conversation("c"), message)
    background.start("announcer", announcer.run)
    try:
        async with asyncio.timeout(10):
            await announcer.until_idle()
    finally:
        await background.stop()

    grown = {each: counted(service_counts.ANNOUNCEMENTS_TOTAL, each) - was for each, was in before.items()}
    assert grown == {"published": 2, "dropped": 1}
    assert caplog.text.count("other instances are not told") == 1
