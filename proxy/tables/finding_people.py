"""Whom staff mean: people found by a user id, an e-mail or IP address, or the id of a link or a request.

Each look is answered by an index and takes a bounded number of rows, so that no term is slow.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Q, QuerySet

from proxy.core.addresses import Address, address_key, parse_address
from proxy.core.people import NoteKind
from proxy.core.principal import is_user_id
from proxy.models import Block, Connection, Refusal, StaffNote

MOST_ROWS = 1_000
MOST_PEOPLE = 50
MOST_REFUSALS = 50


@dataclass(slots=True)
class Found:
    """Somebody, and how many of the rows that were looked at are theirs."""

    user_id: str
    email: str = ""
    connections: int = 0
    refusals: int = 0

    @property
    def rows(self) -> int:
        return self.connections + self.refusals


class _Row(NamedTuple):
    pk: str
    user_id: str
    email: str


@dataclass(slots=True, kw_only=True)
class Result:
    """`rows` are of nobody known: the record that a term names, or refusals at an address, the newest first.

    `is_cut`: there were more rows, or people, than were looked at. `place` is the address, or its /64.
    `is_whole`: the term is the user id of the people, of which no others begin so.
    """

    people: list[Found] = field(default_factory=list)
    rows: list[Connection | Refusal] = field(default_factory=list)
    is_cut: bool = False
    place: str = ""
    is_whole: bool = False

    @property
    def only(self) -> Found | None:
        """Whom alone the term means; None: nobody, or there are or may be others."""
        is_alone = len(self.people) == 1 and not self.rows and (self.is_whole or not self.is_cut)
        return self.people[0] if is_alone else None


def find(term: str, *, sees_refusals: bool) -> Result:
    """Whom `term` means: a whole user id first, then whole ids and addresses, then how ids begin."""
    bare = term.strip()
    known = _known({term, bare}, sees_refusals=sees_refusals)
    if known:
        return _counted(sorted(known), sees_refusals=sees_refusals)
    if not is_user_id(bare):  # nothing that is recorded has such an id, either
        return Result()
    address = parse_address(bare)
    if address is not None:
        return _at(address, sees_refusals=sees_refusals)
    found = (_of_email if "@" in bare else _of_id)(bare, sees_refusals=sees_refusals)
    if found.people or found.rows:
        return found
    begins = Q(user_id__startswith=bare)
    for email in {bare, bare.lower()}:
        begins |= Q(email__startswith=email)
    return _gathered(
        Connection.objects.filter(begins).order_by(),
        Refusal.objects.filter(begins).order_by(),
        sees_refusals=sees_refusals,
    )


def _known(user_ids: set[str], *, sees_refusals: bool) -> set[str]:
    """Those of the ids that are users', as one table after another is asked.

    A kick makes nobody known: it ends what there is, and may be of somebody who was misspelt. What keeps
    somebody out does, who may be yet to come.
    """
    # In the order of the index: else PostgreSQL looks for one of many rows from the table's beginning.
    tables: list[QuerySet[Any]] = [
        Connection.objects.order_by("-opened_at"),
        *([Refusal.objects.order_by("-refused_at")] if sees_refusals else []),
        Block.objects.order_by("-pk"),
        StaffNote.objects.exclude(kind=NoteKind.KICKED.value).order_by("-at"),
    ]
    asked = {each for each in user_ids if is_user_id(each)}
    for rows in tables:
        found = {each for each in asked if rows.filter(user_id=each).values_list("pk")[:1]}
        if found:
            return found
    return set()


def _counted(user_ids: list[str], *, sees_refusals: bool) -> Result:
    """These people, whatever is known of them, with how many rows they have and the last e-mail address."""
    links, refusals = list[_Row](), list[_Row]()
    for user_id in user_ids:
        links += _named(Connection.objects.filter(user_id=user_id).order_by("-opened_at"))
        if sees_refusals:
            refusals += _named(Refusal.objects.filter(user_id=user_id).order_by("-refused_at"))
    found = {each.user_id: each for each in _people_of(links, refusals).people}
    is_cut = max(len(links), len(refusals)) > MOST_ROWS
    people = [found.get(user_id, Found(user_id)) for user_id in user_ids]
    return Result(people=people, is_cut=is_cut, is_whole=True)


def _of_id(bare: str, *, sees_refusals: bool) -> Result:
    """Whose link or request that is."""
    links = Connection.objects.filter(Q(pk=bare) | Q(request_id=bare)).order_by()
    refusals = Refusal.objects.filter(request_id=bare).order_by("-refused_at")
    return _gathered(links, refusals, sees_refusals=sees_refusals)


def _of_email(bare: str, *, sees_refusals: bool) -> Result:
    """Whose e-mail address that is, as it stands or in small letters. Each order is that of an index."""
    is_it = Q(email__in={bare, bare.lower()})
    links = Connection.objects.filter(is_it).order_by("-opened_at")
    refusals = Refusal.objects.filter(is_it).order_by("-refused_at")
    return _gathered(links, refusals, sees_refusals=sees_refusals)


def _gathered(links: QuerySet[Connection], refusals: QuerySet[Refusal], *, sees_refusals: bool) -> Result:
    """The people of these rows; a row of either table where nobody is known."""
    of_links, of_refusals = _named(links), _named(refusals) if sees_refusals else []
    result = _people_of(of_links, of_refusals)
    if not result.people:
        result.rows = [
            *Connection.objects.filter(pk__in=[row.pk for row in of_links[:1]]),
            *Refusal.objects.filter(pk__in=[row.pk for row in of_refusals[:1]]),
        ]
    return result


def _people_of(links: list[_Row], refusals: list[_Row]) -> Result:
    people: dict[str, Found] = {}
    for row in links[:MOST_ROWS]:
        people.setdefault(row.user_id, Found(row.user_id, row.email)).connections += 1
    for row in refusals[:MOST_ROWS]:
        people.setdefault(row.user_id, Found(row.user_id, row.email)).refusals += 1
    people.pop("", None)
    most_first = sorted(people.values(), key=lambda found: (-found.rows, found.user_id))
    is_cut = max(len(links), len(refusals)) > MOST_ROWS or len(people) > MOST_PEOPLE
    return Result(people=most_first[:MOST_PEOPLE], is_cut=is_cut)


def _at(address: Address, *, sees_refusals: bool) -> Result:
    """Who came from there: from anywhere in the /64 of an IPv6 address, as refusals are counted."""
    key = address_key(str(address))
    links = _named(_within(Connection.objects.order_by(), key), key)
    newest = Refusal.objects.order_by("client_address", "-refused_at")  # at each of them, as its index has it
    refusals = _named(_within(newest, key), key) if sees_refusals else []
    result = _people_of(links, refusals)
    result.place = key
    strangers = [row.pk for row in refusals if not row.user_id]
    result.rows = list(Refusal.objects.filter(pk__in=strangers).order_by("-refused_at", "id")[:MOST_REFUSALS])
    return result


def _within(rows: QuerySet[Any], key: str) -> QuerySet[Any]:
    """Those of one address, or of a network of IPv6: on SQLite, where they are text, perhaps more."""
    if "/" not in key:
        return rows.filter(client_address=key)
    network = ipaddress.IPv6Network(key)
    if connection.vendor == "postgresql":
        return rows.filter(client_address__range=(str(network[0]), str(network[-1])))
    return rows.filter(client_address__startswith=str(network[0]).partition(":")[0] + ":")


def _named(rows: QuerySet[Any], key: str = "") -> list[_Row]:
    """Of whom so many rows are, one more than is looked at; with `key` only those of that place."""
    values = rows.values_list("pk", "user_id", "email", "client_address")[: MOST_ROWS + 1]
    return [
        _Row(pk, user_id, email)
        for pk, user_id, email, address in values
        if not key or address_key(address) == key
    ]
