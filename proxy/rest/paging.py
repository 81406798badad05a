"""Lists of the API: pages, and filters of which each is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from proxy.rest.staff_view import StaffApiView, check_once
from proxy.tables.known import check_word
from proxy.tables.node_names import by_columns


class Pages(CursorPagination):
    """By a place in the list rather than a number, so that links that come and go shift no page."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    # How many may have closed in one moment; DRF's 1000 would tell the same page again and again behind that.
    offset_cutoff = 10**9

    def get_page_size(self, request: Request) -> int:
        """DRF takes what is no number for none."""
        asked = request.query_params.get(self.page_size_query_param, f"{self.page_size}")
        if not (
            asked.isascii() and asked.isdigit() and len(asked) < 5 and 0 < int(asked) <= self.max_page_size
        ):
            raise ParseError(f"limit is a number from 1 to {self.max_page_size}, not {asked[:100]!r}")
        return int(asked)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """With its bounds."""
        described = super().get_schema_operation_parameters(view)
        bounds = {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        for each in described:
            if each["name"] == self.page_size_query_param:
                each["schema"] |= bounds
        return described

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Without DRF's examples, which are of another API."""
        described = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            del described["properties"][name]["example"]
        return described

    def decode_cursor(self, request: Request) -> Any:
        """DRF reads what a caller has made up as well, and the database would be asked for it."""
        cursor = super().decode_cursor(request)
        try:
            if cursor and cursor.position is not None:
                # In UTC, as the database tells: what another zone's makes may be no time of any calendar.
                at = parse_datetime(str(cursor.position))
                if at is None or at.utcoffset() != timedelta(0):
                    raise ValueError(cursor.position)
        except ValueError:
            raise NotFound(self.invalid_cursor_message) from None
        return cursor

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """The view's: the order of an index, and by a time first."""
        ordering: tuple[str, ...] = view.get_ordering()
        return ordering


class StaffList(StaffApiView, ListAPIView):  # type: ignore[type-arg]
    """Rows, newest first, page by page. `filters`: by name the field that is compared, and what it means."""

    pagination_class = Pages
    filter_backends = ()
    filters: ClassVar[Mapping[str, tuple[str, str]]] = {}
    ordering: ClassVar[tuple[str, ...]] = ()
    # By filter, which is called as its field, the words that are known for it: one that is none of them, and
    # on no row, is misspelt.
    words: ClassVar[Mapping[str, Callable[[], Collection[str]]]] = {}
    # What else may stand in a query.
    more: ClassVar[frozenset[str]] = frozenset()

    def get_ordering(self) -> tuple[str, ...]:
        """By a time first."""
        return self.ordering

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those that all filters of the query match. Raises ParseError: one is unknown; UnknownWord."""
        asked = self.request.query_params
        strange = sorted(asked.keys() - {*self.filters, *self.more, "limit", "cursor"})
        if strange:  # or one that is misspelt would find everything
            raise ParseError(f"there is no such filter: {', '.join(strange)[:100]}")
        check_once(asked)
        for name, known in self.words.items():
            if name in asked:
                check_word(name, asked[name], known(), record=rows.model)
        wanted = {field: asked[name] for name, (field, _) in self.filters.items() if name in asked}
        return rows.filter(**by_columns(wanted))

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """What the query says of a choice; the first where it says nothing. Raises ParseError."""
        chosen: str = self.request.query_params.get(name, choices[0])
        if chosen not in choices:
            raise ParseError(f"{name} is {' or '.join(choices)}, not {chosen[:100]!r}")
        return chosen


def described(filters: Mapping[str, tuple[str, str]]) -> list[OpenApiParameter]:
    """As the schema has them."""
    return [OpenApiParameter(name, description=told) for name, (_, told) in filters.items()]
