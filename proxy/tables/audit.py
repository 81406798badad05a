"""The audit, read: what staff did and what programs did as one list, the last first.

Each of the two tables is read in the order of its key, and both are merged by time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, IntegerField, Q, QuerySet, Subquery
from django.utils.text import smart_split, unescape_string_literal

from proxy.models import Deed, ProgramDeed

_LARGEST = (1 << 63) - 1
# Up to so many entries from the first on, programs' are read whole at once: one query less.
_MOST_WHOLE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody wants to see: done by `who`, to a `kind` (`proxy.block`), a flag of the admin log, since
    when; `text` are words that all have to be in what was said, or in what it was done to; what was said
    `begins` so.
    """

    who: str = ""
    kind: str = ""
    flag: int | None = None
    since: datetime | None = None
    text: str = ""
    begins: str = ""

    def of_staff(self) -> QuerySet[Any]:
        """What staff did."""
        label, _, model = self.kind.partition(".")
        wanted = {
            "user__username": self.who or None,
            "content_type__app_label": label or None,
            "content_type__model": model if label else None,
            "action_flag": self.flag,
            "action_time__gte": self.since,
            "change_message__startswith": self.begins or None,
        }
        found = Deed.objects.filter(**_given(wanted))
        return _with_words(found, self.text, ("object_repr", "change_message", "object_id"))

    def of_programs(self) -> QuerySet[Any]:
        """What programs did."""
        wanted = {
            "who": self.who or None,
            "kind": self.kind or None,
            "flag": self.flag,
            "at__gte": self.since,
            "said__startswith": self.begins or None,
        }
        found = ProgramDeed.objects.filter(**_given(wanted))
        return _with_words(found, self.text, ("about", "said", "object_id"))


class Place(NamedTuple):
    """Where a page ends: below these keys of either table the next one goes on."""

    staff: int = _LARGEST
    programs: int = _LARGEST

    def __str__(self) -> str:
        """As a URL has it; `parse` takes it."""
        return f"{self.staff}-{self.programs}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Raises ValueError for what is none."""
        parts = text.split("-")
        if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
            raise ValueError("no place in the audit")
        return cls(*(min(int(part), _LARGEST) for part in parts))


class _Key(NamedTuple):
    """By which both are in one order: that of time, and by the key in either table."""

    at: datetime
    is_program: bool
    pk: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, the last first; `older`: where the next page begins, None where there is none."""

    entries: list[Deed]
    older: Place | None


def page(asked: Asked, *, below: Place | None = None, most: int) -> Page:
    """The newest of what was asked for, or the newest below a place: four queries, however deep."""
    below = below or Place()
    staff, programs = asked.of_staff(), asked.of_programs()
    keys = _newest(staff.filter(pk__lt=below.staff), programs.filter(pk__lt=below.programs), most + 1)
    shown = keys[:most]
    older = Place(
        min((key.pk for key in shown if not key.is_program), default=below.staff),
        min((key.pk for key in shown if key.is_program), default=below.programs),
    )
    return Page(_entries(shown), older if len(keys) > most else None)


class _CountOf(Subquery):
    """How many rows a query finds, within another one."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


class Entries:
    """What was asked for as a list that is paged by numbers, for a page that has them."""

    def __init__(self, asked: Asked) -> None:
        self._staff, self._programs = asked.of_staff(), asked.of_programs()

    def counted(self, most: int) -> int:
        """How many there are, counted up to `most` of either."""
        programs = _CountOf(self._programs.order_by().values("pk")[:most])
        counts = self._staff.order_by().values("pk")[:most].aggregate(both=Count("pk") + programs)
        return int(counts["both"])

    def __getitem__(self, part: slice) -> list[Deed]:
        """Three queries; four from `_MOST_WHOLE` on, where rows are read by their keys alone."""
        if part.stop > _MOST_WHOLE:
            return _entries(_newest(self._staff, self._programs, part.stop)[part.start :])
        rows = list(self._programs.order_by("-pk")[: part.stop])
        of_programs = [_Key(row.at, is_program=True, pk=row.pk) for row in rows]
        of_staff = _keys(self._staff, "action_time", part.stop, is_program=False)
        return _entries(_merged(of_staff, of_programs, part.stop)[part.start :], rows)


def entry(pk: int) -> Deed | None:
    """The one of that id; below zero it is a program's."""
    found = _entries([_Key(datetime.min, is_program=pk < 0, pk=abs(pk))])  # noqa: DTZ901  not looked at
    return found[0] if found else None


def _newest(staff: QuerySet[Any], programs: QuerySet[Any], most: int) -> list[_Key]:
    of_staff = _keys(staff, "action_time", most, is_program=False)
    return _merged(of_staff, _keys(programs, "at", most, is_program=True), most)


def _keys(rows: QuerySet[Any], at: str, most: int, *, is_program: bool) -> list[_Key]:
    values = rows.order_by("-pk").values_list(at, "pk")[:most]
    return [_Key(when, is_program, pk) for when, pk in values]


def _merged(of_staff: list[_Key], of_programs: list[_Key], most: int) -> list[_Key]:
    merged = heapq.merge(of_staff, of_programs, reverse=True)
    return [key for key, _ in zip(merged, range(most), strict=False)]


def _entries(keys: Sequence[_Key], programs: Iterable[ProgramDeed] | None = None) -> list[Deed]:
    """In the order of the keys; `programs` are those of theirs, None: to be read. A row that has gone
    meanwhile is left out."""
    staff = Deed.objects.select_related("user", "content_type", "deed_details")
    found = dict[tuple[bool, int], Any]()
    if of_staff := [key.pk for key in keys if not key.is_program]:
        found |= {(False, row.pk): _with_details(row) for row in staff.filter(pk__in=of_staff)}
    of_programs = {key.pk for key in keys if key.is_program}
    if programs is None:
        programs = ProgramDeed.objects.filter(pk__in=of_programs) if of_programs else []
    found |= {(True, row.pk): _as_deed(row) for row in programs if row.pk in of_programs}
    return [found[key[1:]] for key in keys if key[1:] in found]


def _with_details(deed: Any) -> Deed:
    """One of staff's; entries of other apps have none."""
    details = getattr(deed, "deed_details", None)
    if details is not None:
        deed.count, deed.reason, deed.found_by = details.count, details.reason, details.found_by
    found: Deed = deed
    return found


def _as_deed(row: ProgramDeed) -> Deed:
    """As an entry of the admin log would be that such a program could have."""
    user = get_user_model()
    deed = Deed(
        id=-row.pk,
        action_time=row.at,
        user=user(**{user.USERNAME_FIELD: row.who}),
        content_type=_content_type(row.kind),
        object_id=row.object_id,
        object_repr=row.about,
        action_flag=row.flag,
        change_message=row.said,
    )
    deed.count, deed.reason, deed.found_by = row.count, row.reason, row.found_by
    deed.program_kind = row.kind
    return deed


def _content_type(kind: str) -> ContentType | None:
    """Django keeps those it has read. None: of a model that this release does not have."""
    try:
        return ContentType.objects.get_for_model(apps.get_model(kind), for_concrete_model=False)
    except LookupError:
        return None


def _given(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}


def _with_words(rows: QuerySet[Any], text: str, fields: Iterable[str]) -> QuerySet[Any]:
    """Those in which each word is, somewhere; in quotes several are one, as in admin's other searches."""
    read: Callable[[str], str] = unescape_string_literal
    for bit in smart_split(text):
        word = read(bit) if bit[0] in "\"'" and bit[0] == bit[-1] and len(bit) > 1 else bit
        found = Q()
        for field in fields:
            found |= Q(**{f"{field}__icontains": word})
        rows = rows.filter(found)
    return rows
