"""Words that are masked, whatever is done to hide them, and those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experience.chat.filters import mask_words
from experience.chat.messages import MessageSend

MASK = mask_words(["heck", "Straße", "müll"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("what the heck?", "what the ****?"),
        ("HECK, Heck; heck", "****, ****; ****"),
        ("\uff48\uff45\uff43\uff4b", "****"),
        ("he\u200bck", "*****"),
        ("he\u00adck\u2060!", "******!"),
        ("STRASSE", "*******"),
        ("mu\u0308ll", "****"),
        ("MÜLL\nmüllerei", "****\nmüllerei"),
        ("heckle, checks, the_heck", "heckle, checks, the_heck"),
        ("he ck", "he ck"),
        ("", ""),
    ],
)
def test_words_are_masked_as_whole_words_however_they_are_written(text: str, shown: str) -> None:
    assert MASK(MessageSend("c", text), "alice") == shown


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_a_text_without_any_of_them_stays_as_it_is_to_the_last_character(text: str) -> None:
    assert mask_words(["aword\ubab0thatnobodysays"])(MessageSend("c", text), "alice") is text


@pytest.mark.parametrize("word", ["", " ", "two words", "a-b", "\u200b", "!"])
def test_what_is_not_one_word_cannot_be_looked_for(word: str) -> None:
    with pytest.raises(ValueError, match="not one word"):
        mask_words([word])
