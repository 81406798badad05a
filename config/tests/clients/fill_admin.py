"""Rows for every list of admin, named as a client might that means harm. Played by `manage.py shell`."""

from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.utils import timezone

from experience.chat import models as chat
from experience.models import Experience
from proxy.models import (
    ApiKey,
    Block,
    Connection,
    LinkEvent,
    MemberReport,
    Node,
    OutgoingEvent,
    PoolMember,
    Refusal,
    Revocation,
    StaffNote,
    Tap,
)
from proxy.tables.deeds import note_deed

LONG = "W" * 255
RTL = "\u202eadministrator\u202d " + "שלום" * 20
EMOJI = "👩‍👩‍👧‍👦" * 30
NAMES = {"long": LONG, "rtl": RTL[:255], "emoji": EMOJI[:255], "ada": "ada"}

now = timezone.now()
ada = User.objects.create_superuser("ada", password="of these tests alone")
# Its heart beats until the test is over, or the gateway would find that it is lost, and end its links.
beats = now + timedelta(days=1)
Node.objects.create(id="long", host="h" * 255, pid=4_194_304, started_at=now, heartbeat_at=beats)
for number, (key, name) in enumerate(NAMES.items()):
    told = {
        "route": "experience",
        "node_id": "long",
        "path": ("/" + name)[:255],
        "user_id": name,
        "email": (name[:60] + "@example.com"),
        "client_address": f"2001:db8:1234:5678:9abc:def0:1234:567{number}",
        "user_agent": name,
        "request_id": "r" * 64,
        "upstream": ("ws://" + "m" * 250),
    }
    ended = {"closed_at": now, "close_code": 4001, "close_reason": name[:100], "closed_by": "staff"}
    for which, end in ((key, {}), (f"{key} ended", ended)):
        Connection.objects.create(
            id=which,
            opened_at=now - timedelta(days=400),
            topic=f"session:{name}"[:128],
            messages_in=2**43,
            bytes_in=2**43,
            messages_out=2**43,
            bytes_out=2**43,
            **told,
            **end,
        )
    Refusal.objects.create(
        id=key, refused_at=now, cause="too_many_rate_per_ip", reason=name, status=429, times=123_456, **told
    )
    between = f"from ws://{'m' * 250} to ws://{'m' * 250}"
    LinkEvent.objects.create(id=key, connection_id=key, user_id=name, at=now, kind="failover", words=between)
    StaffNote.objects.create(user_id=name, at=now, kind="note", text=name * 3, by="B" * 128)
    Block.objects.create(user_id=name, network="2001:db8:1234:5678:9abc:def0:1234:5678/128", reason=name)
    words = {"slug": name[:117], "title": name[:128], "maintenance_message": (name * 3)[:500]}
    Experience.objects.create(**words, capacity=1_000_000, enabled=bool(number % 2), ends_links=True)
    Revocation.objects.create(user_id=name, issued_before=now, reason=name, source="B" * 128)
    note_deed(ada, Connection, f"Kicked 20 connections: {name} ({LONG})", about=name, object_id=key)
    note_deed(f"key {name}", Connection, f"Kicked 20 connections: {name}", about=name, object_id=key)
    OutgoingEvent.objects.create(subject=name * 2, key=name, body=name, size_bytes=255, refused=name)
    ApiKey.objects.create(id=key, name=name[:64], digest="", publish=["everyone", "user", "experience"])
for place in range(3):
    url = f"ws://{'m' * 60}{place}.example.com:8002/{'p' * 120}"
    PoolMember.objects.create(pool="studio", url=url)
    MemberReport.objects.create(
        node_id="long",
        pool="studio",
        url=url,
        state="unhealthy",
        breaker="open",
        links=123_456,
        dial_ms=12345.6,
        last_error="E" * 255,
        updated_at=now,
    )
wide = User.objects.create_user(
    LONG[:150], email=f"{LONG[:60]}@example.com", first_name=LONG[:150], last_name=RTL[:150]
)
for name in NAMES.values():
    group = Group.objects.create(name=name[:150])
    wide.groups.add(group)
for row in (User.objects.get(pk=1), group, *Experience.objects.all()[:1], *PoolMember.objects.all()[:1]):
    note_deed(ada, type(row), f"Changed: {LONG}", about=LONG, object_id=str(row.pk))
talk = chat.Conversation.objects.create(id="c" * 32, created_by=LONG)
for number, name in enumerate(NAMES.values()):
    chat.Participant.objects.create(conversation=talk, user_id=name)
    chat.Message.objects.create(
        conversation=talk, sequence=number + 1, sender_id=name, text=name * 4, created_at=now
    )
    chat.Block.objects.create(by_user_id=LONG, target_user_id=name)
seen = {"route": "experience", "node_id": "long", "user_id": LONG}
tapped = Connection.objects.create(id="tapped", opened_at=now, **seen)
Tap.objects.create(id="tapped", connection=tapped, by=ada, until=now + timedelta(minutes=5))
