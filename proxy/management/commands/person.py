"""`manage.py person`: what happened to somebody, found by whatever one has of them."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from proxy.core.human import duration
from proxy.core.people import Entry, Place
from proxy.core.text_tables import WHOLE_COLUMNS, plain, table
from proxy.management.staff_command import CommandAnswer, StaffCommand
from proxy.management.told import told_block, told_connection, told_refusal
from proxy.models import Connection, Refusal
from proxy.tables.blocking import blocks_of
from proxy.tables.finding_people import Result, find
from proxy.tables.people import Sight, Story, story_of

_LIVE = ["LIVE", "ROUTE", "ADDRESS", "FOR", "MESSAGES"]
_PEOPLE = ["USER", "EMAIL", "CONNECTIONS", "REFUSALS"]
_MOST_CHARS = 255
# Of what clients, services and staff wrote; our own words are not cut.
_SAID_COLUMNS = 200


class Command(StaffCommand):
    help = "Tells a person's story: refusals, opens, closes, what staff did; the last first, 50 at a time."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "who", help="a user id, e-mail or IP address, or the id of a connection or of a request"
        )
        parser.add_argument(
            "--before", metavar="PLACE", type=_place, help="go on there (`older` of the last)"
        )

    def answer(self, *, who: str, before: Place | None, **options: Any) -> CommandAnswer:
        term = who[:_MOST_CHARS]
        found = find(term, sees_refusals=True) if term.strip() and "\0" not in term else Result()
        if not (found.people or found.rows):
            raise CommandError(f"nothing is known of {plain(who)}")
        told = _told_of_search(who, found)
        if found.only is None:
            return CommandAnswer(told | {"person": None}, _found_lines(told))
        user_id = found.only.user_id
        story = story_of(user_id, Sight(), below=before)
        address = (story.newest.client_address or "") if story.newest else ""
        blocks = [told_block(each) for each in blocks_of(user_id, address)[0]]
        return CommandAnswer(
            told | {"person": _told(user_id, story, blocks)}, _story_lines(user_id, story, blocks)
        )


def _told_of_search(term: str, found: Result) -> dict[str, Any]:
    names = ("user_id", "email", "connections", "refusals")
    return {
        "term": term,
        "is_cut": found.is_cut,
        "place": found.place,
        "people": [{name: getattr(each, name) for name in names} for each in found.people],
        "connections": [told_connection(each) for each in found.rows if isinstance(each, Connection)],
        "refusals": [told_refusal(each) for each in found.rows if isinstance(each, Refusal)],
    }


def _place(text: str) -> Place:
    try:
        return Place.parse(text)
    except ValueError:
        raise ArgumentTypeError("that is no `older` of what came before") from None


def _told(user_id: str, story: Story, blocks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "live": list(map(told_connection, story.live)),
        "has_more_live": story.has_more_live,
        "blocks": blocks,
        "timeline": [
            {
                "at": entry.place.at,
                "kind": entry.place.source.name.lower(),
                "words": entry.words,
                "details": entry.details,
                "said": entry.said,
                "id": entry.row_id,
                "request_id": entry.request_id,
            }
            for entry in story.page.entries
        ],
        "older": None if story.page.older is None else str(story.page.older),
    }


def _found_lines(told: dict[str, Any]) -> Iterator[str]:
    """Of several people, or of records of nobody known."""
    people, records = told["people"], [*told["connections"], *told["refusals"]]
    if people:
        yield "1 person:" if len(people) == 1 else f"{len(people)} people; name one:"
        rows = (
            [str(each[name]) for name in ("user_id", "email", "connections", "refusals")] for each in people
        )
        yield from table(_PEOPLE, rows)
    for each in records:
        yield plain(_of_nobody(each), WHOLE_COLUMNS)
    if told["is_cut"]:
        yield "there are more than these"


def _of_nobody(told: dict[str, Any]) -> str:
    is_refusal = "refused_at" in told
    at = timezone.localtime(told["refused_at"] if is_refusal else told["opened_at"])
    what = f"refusal {told['id']}" if is_refusal else f"connection {told['id']}"
    cause = told["words"] if is_refusal or told["closed_at"] else "live"
    request = f", request {plain(told['request_id'])}" if told["request_id"] else ""
    where = f"{told['route']} from {told['client_address'] or '-'}"
    return f"{at:%Y-%m-%d %H:%M:%S}  {what} of nobody known: {cause or 'closed'}, on {where}{request}"


def _story_lines(user_id: str, story: Story, blocks: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield plain(user_id, WHOLE_COLUMNS)
    for block in blocks:
        until = f"until {timezone.localtime(block['until']):%Y-%m-%d %H:%M}" if block["until"] else "for good"
        whom = " from ".join(filter(None, (block["user_id"], block["network"])))
        yield plain(f"kept out {until}: {whom}, {block['reason'] or 'no reason given'}", WHOLE_COLUMNS)
    if story.live:
        yield ""
        yield from table(_LIVE, map(_live, story.live))
        yield from ["and more"] if story.has_more_live else []
    yield ""
    for entry in story.page.entries:
        yield plain(_line(entry), WHOLE_COLUMNS)
    if story.page.older is not None:
        yield f"older: --before '{story.page.older}'"


def _line(entry: Entry) -> str:
    at = f"{timezone.localtime(entry.place.at):%Y-%m-%d %H:%M:%S}"
    said = f"“{plain(entry.said, _SAID_COLUMNS)}”" if entry.said else ""
    return f"{at}  " + ", ".join(filter(None, (entry.words, entry.details, said)))


def _live(row: Connection) -> list[str]:
    return [
        row.pk,
        row.route,
        row.client_address or "",
        duration((timezone.now() - row.opened_at).total_seconds()),
        f"{row.messages_in} in, {row.messages_out} out",
    ]
