"""What a path captures stays where it was put, whatever it is."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.captures import blanks_of, captured_by, fill, shape_of

URL = "ws://orders:9000/shops/{shop}/ws"
TEXT = st.text(st.characters(codec="utf-8")) | st.text(st.sampled_from("./\\%2eEfF?#&;:@{}"))


def test_what_a_pattern_captures_is_known_by_name_and_its_shape_without() -> None:
    assert captured_by("shops/<slug:shop>/<room>") == {"shop", "room"}
    assert captured_by("ws") == frozenset()
    assert shape_of("shops/<slug:shop>/<room>") == "shops/<slug>/<str>" == shape_of("shops/<slug:a>/<str:b>")
    assert blanks_of(URL) == {"shop"}


@given(TEXT)
@example("..")
@example("%2e%2e")
@example("../../admin")
@example("..\\admin")
@example(".;")
@example("a?b#c")
@example("{shop}")
def test_no_value_changes_the_shape_of_the_path(value: str) -> None:
    try:
        filled = urlsplit(fill(URL, {"shop": value}))
    except ValueError:
        segments = value.replace("\\", "/").split("/")
        assert not value or {".", ".."} & {segment.partition(";")[0] for segment in segments}
        return
    assert (filled.netloc, filled.query, filled.fragment) == ("orders:9000", "", "")
    first, shops, segment, last = filled.path.split("/")
    assert (first, shops, last) == ("", "shops", "ws")
    assert unquote(segment) == value
    assert not {".", ".."} & set(unquote(filled.path).split("/"))


@pytest.mark.parametrize("value", ["", ".", "..", "a/..", "../a", "..\\a", "..;a"])
def test_what_would_lead_elsewhere_when_decoded_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"a part of the path is empty, \. or \.\."):
        fill(URL, {"shop": value})


def test_a_url_that_names_nothing_is_left_as_it_is() -> None:
    assert fill("ws://kb:1/a%7Bb", {}) == "ws://kb:1/a%7Bb"
