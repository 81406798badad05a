"""A timeline merged of several tables: nothing is lost or doubled, whatever pages it is read in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.people import Bound, Entry, Place, Source, page_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

# Few moments and ids: most entries share theirs with others.
places = st.builds(
    Place,
    st.integers(0, 5).map(lambda microseconds: NOON + timedelta(microseconds=microseconds)),
    st.sampled_from(Source),
    st.text("0af", min_size=1, max_size=2),
)


def rows(all_places: set[Place], source: Source, bound: Bound | None, *, most: int) -> list[Entry]:
    """What a table answers: its rows below the bound, the newest first."""
    found = sorted((place for place in all_places if place.source is source), reverse=True)
    if bound is not None:
        found = [place for place in found if place.at < bound.at or _is_of_that_moment(place, bound)]
    return [Entry(place=place, words="") for place in found[:most]]


def _is_of_that_moment(place: Place, bound: Bound) -> bool:
    return place.at == bound.at and bound.is_included and (bound.id is None or place.id < bound.id)


@given(st.sets(places, max_size=40), st.integers(1, 7))
def test_pages_show_each_entry_once_the_newest_first(all_places: set[Place], most: int) -> None:
    shown, below = list[Place](), None
    for _ in range(len(all_places) + 1):
        sources = [
            rows(all_places, source, below.bound(source) if below else None, most=most + 1)
            for source in Source
        ]
        page = page_of(sources, most=most)
        assert len(page.entries) <= most
        shown += [entry.place for entry in page.entries]
        if page.older is None:
            break
        below = Place.parse(str(page.older))
    assert shown == sorted(all_places, reverse=True)


@given(places)
def test_a_place_is_the_same_once_it_has_been_in_a_url(place: Place) -> None:
    assert Place.parse(str(place)) == place


def test_a_place_of_another_time_zone_is_the_same_moment() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    assert Place.parse(str(Place(there, Source.NOTE, "a"))) == Place(NOON, Source.NOTE, "a")


@pytest.mark.parametrize(
    "text",
    [
        "", "~~", "2026-01-01~1~a", "2026-01-01T00:00:00~1~a", "2026-01-01T00:00:00+00:00~9~a",
        "2026-01-01T00:00:00+00:00~x~a", f"2026-01-01T00:00:00+00:00~1~{'a' * 65}",
        "2026-01-01T00:00:00+00:00~1~a\0", "0001-01-01T00:00:00+23:59~1~a", "9999-12-31T23:59:59-23:59~1~a",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  any says it
        Place.parse(text)
