"""The book of links: in the order of their start, and nothing of keys that have none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.engine.admission.caps import LeaseBook


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5).map(str), st.booleans()), max_size=100))
def test_the_book_holds_what_was_added_and_not_removed_in_order(
    steps: list[tuple[str, str, bool]],
) -> None:
    book, model = LeaseBook(), {"a": [], "b": []}  # type: ignore[var-annotated]
    for key, link, added in steps:
        if added:
            book.add(key, link)
            if link not in model[key]:
                model[key].append(link)
        else:
            book.remove(key, link)
            if link in model[key]:
                model[key].remove(link)
        assert book.count(key) == len(model[key])
        assert book.oldest(key) == next(iter(model[key]), None)
    assert len(book._links) == sum(bool(links) for links in model.values())
