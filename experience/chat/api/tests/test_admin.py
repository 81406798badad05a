"""The chat in Django admin: what staff see, and that services hear of what they change."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from experience.chat import membership
from experience.chat.api.tests.calling import make, say, told
from experience.chat.models import Block, Conversation, Message, Participant

pytestmark = pytest.mark.usefixtures("chat_tables")
ADMIN = "/admin/chat"


def page(client: Client, path: str) -> str:
    answer = client.get(f"{ADMIN}/{path}")
    assert answer.status_code == 200, answer.content.decode()
    return re.sub(r"\s+", " ", answer.content.decode())


def send(client: Client, path: str, **fields: Any) -> str:
    """The page that a form leads to."""
    answer = client.post(f"{ADMIN}/{path}", fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def topics() -> list[str]:
    return [topic for topic, _ in told()]


def test_staff_make_a_conversation_and_delete_it_with_all_that_was_said(admin_client: Client) -> None:
    send(admin_client, "conversation/add/", created_by="alice", others="bob\ncarol\n")
    made = Conversation.objects.get()
    assert topics() == [f"chat:c.{made.pk}", "chat:u.alice", "chat:u.bob", "chat:u.carol"]
    say(made.pk, ["alice"] * 500)
    where = f"conversation/{made.pk}/delete/"
    asked = page(admin_client, where)
    assert "1 of alice" not in asked
    send(admin_client, where, post="yes")
    assert topics() == [f"chat:c.{made.pk}"]
    assert not Message.objects.exists()


def test_what_could_not_be_meant_is_said_in_the_form(admin_client: Client) -> None:
    assert "printable text" in send(admin_client, "conversation/add/", created_by="alice", others="b\x07b")
    assert "name somebody else" in send(admin_client, "conversation/add/", created_by="alice", others="alice")
    asked = send(admin_client, "participant/add/", where="nowhere", user_id="bob")
    assert "There is no such conversation." in asked
    assert "nobody blocks himself" in send(admin_client, "block/add/", by_user_id="a", target_user_id="a")
    assert (told(), Conversation.objects.count(), Block.objects.count()) == ([], 0, 0)


def test_participants_join_and_leave(admin_client: Client) -> None:
    made = make("alice", "bob")
    told()
    send(admin_client, "participant/add/", where=made, user_id="carol")
    assert topics() == [f"chat:c.{made}", "chat:u.carol"]
    carol = Participant.objects.get(user_id="carol")
    assert "carol" in page(admin_client, f"participant/{carol.pk}/change/")
    send(admin_client, f"participant/{carol.pk}/delete/", post="yes")
    assert topics() == [f"chat:c.{made}"]
    others = {"action": "delete_selected", "post": "yes"}
    ids = [str(pk) for pk in Participant.objects.values_list("pk", flat=True)]
    send(admin_client, "participant/", **others, _selected_action=ids)
    assert topics() == [f"chat:c.{made}"] * 2
    assert not Participant.objects.exists()


def test_blocks_are_added_and_taken_back(admin_client: Client) -> None:
    made = make("alice", "bob")
    told()
    send(admin_client, "block/add/", by_user_id="alice", target_user_id="bob")
    ((topic, event),) = told()
    assert (topic, event["type"]) == (f"chat:c.{made}", "conversation.blocked")
    block = Block.objects.get()
    assert "bob" in page(admin_client, "block/?q=bob")
    assert "bob" not in page(admin_client, "block/?q=eve").partition("result_list")[2]
    send(admin_client, f"block/{block.pk}/delete/", post="yes")
    ((topic, event),) = told()
    assert (topic, event["type"]) == (f"chat:c.{made}", "conversation.unblocked")


def test_messages_are_read_and_not_changed(admin_client: Client) -> None:
    made = make("alice", "bob")
    say(made, ["alice", "bob"] * 80)
    inside = page(admin_client, f"conversation/{made}/change/")
    assert "160 of bob" in inside
    assert "110 of bob" not in inside
    assert f"/admin/chat/message/?conversation={made}" in inside
    listed = page(admin_client, f"message/?conversation={made}")
    assert "160 of bob" in listed
    assert "60 of bob" not in listed.replace("160 of bob", "")
    assert "3 of alice" in page(admin_client, f"message/?q={made}.3")
    assert "3 of alice" not in page(admin_client, f"message/?q={made}.4")
    row = Message.objects.get(conversation_id=made, sequence=3)
    assert "3 of alice" in page(admin_client, f"message/{row.pk}/change/")
    for path in ("add/", f"{row.pk}/delete/"):
        assert admin_client.get(f"{ADMIN}/message/{path}").status_code == 403
    send(admin_client, "message/", action="delete_selected", post="yes", _selected_action=str(row.pk))
    assert Message.objects.count() == 160
    assert told()[0][1]["type"] == "conversation.changed"  # the making alone


def test_what_users_wrote_is_shown_as_text(admin_client: Client) -> None:
    made = make("<b>alice</b>", "bob")
    say(made, ["<b>alice</b>"])
    Message.objects.update(text="<script>alert(1)</script>\u202e")
    for path in ("conversation/", f"conversation/{made}/change/", "message/", "participant/"):
        shown = page(admin_client, path)
        assert "<b>alice" not in shown
        assert "<script>alert" not in shown
        assert "\u202e" not in shown


def test_lines_are_shown_as_written_and_lead_back_to_their_conversation(
    admin_client: Client,
) -> None:
    made = make("alice", "bob")
    say(made, ["alice"])
    Message.objects.update(text="one\n\n<b>two</b>\x1c")
    (row,) = Message.objects.all()
    alice = Participant.objects.get(user_id="alice")
    link = f'<a href="/admin/chat/conversation/{made}/change/">{made}</a>'
    for path in (f"conversation/{made}/change/", f"message/{row.pk}/change/"):
        shown = re.sub(r"</?bdi[^>]*>", "", page(admin_client, path))
        assert "one<br><br>&lt;b&gt;two&lt;/b&gt;⟨U+001C⟩" in shown
    for path in (f"message/{row.pk}/change/", f"participant/{alice.pk}/change/", "participant/"):
        assert link in page(admin_client, path)


def test_a_page_takes_as_many_queries_however_much_there_is(admin_client: Client) -> None:
    def asked(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            page(admin_client, path)
        return len(queries)

    first = make("alice", "bob")
    say(first, ["alice"])
    paths = ("conversation/", f"conversation/{first}/change/", "message/", "participant/")
    for path in paths:
        asked(path)  # what is remembered from then on
    before = [asked(path) for path in paths]
    for number in range(15):
        say(make(f"user-{number}", *(f"other-{each}" for each in range(12))), ["x"] * 20)
    assert [asked(path) for path in paths] == before
    assert "8 more" in page(admin_client, "conversation/")
    assert first in page(admin_client, "conversation/?q=bob")
    assert "15 conversations" in page(admin_client, "conversation/?q=other-3")


def staff(*permissions: str) -> Client:
    support = User.objects.create_user("support", password="x", is_staff=True)
    support.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(support)
    return client


def test_who_may_not_see_messages_or_who_takes_part_sees_none() -> None:
    made = make("alice", "bob")
    say(made, ["alice"])
    client = staff("view_conversation")
    for path in ("conversation/", f"conversation/{made}/change/"):
        shown = page(client, path)
        assert made in shown
        assert "1 of alice" not in shown
        assert "bob" not in shown
    assert "0 conversations" in page(client, "conversation/?q=bob")  # nor by asking for each
    assert "1 conversation" in page(client, f"conversation/?q={made}")
    assert client.get(f"{ADMIN}/message/").status_code == 403
    assert client.get(f"{ADMIN}/participant/").status_code == 403
    assert client.get(f"{ADMIN}/conversation/{made}/delete/").status_code == 403
    assert client.get(f"{ADMIN}/conversation/add/").status_code == 403


def test_who_may_see_who_takes_part_finds_conversations_by_them() -> None:
    made = make("alice", "bob")
    client = staff("view_conversation", "view_participant")
    assert "bob" in page(client, "conversation/")
    assert made in page(client, "conversation/?q=bob")


@pytest.mark.parametrize("kind", ["conversation", "participant"])
def test_of_two_who_delete_the_same_the_second_is_told(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made = make("alice", "bob")
    found = {"conversation": made, "participant": Participant.objects.filter(user_id="bob").get().pk}
    begin = membership._begin_change

    def too_late(conversation_id: str) -> None:
        Conversation.objects.filter(pk=conversation_id).delete()
        begin(conversation_id)

    monkeypatch.setattr(membership, "_begin_change", too_late)
    assert "no such conversation" in send(admin_client, f"{kind}/{found[kind]}/delete/", post="yes")
