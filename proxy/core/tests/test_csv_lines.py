import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.csv_lines import csv_line


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1", "\n=1", "\uff1d1"])
def test_what_could_be_a_formula_is_text(cell: str) -> None:
    assert next(csv.reader([csv_line(["a", cell])], strict=True))[0] == "a"
    assert csv_line([cell]).startswith("\"'")


def test_what_is_none_is_left_as_it_is() -> None:
    assert csv_line(["ada", "a-b", "", 'says "x", y']) == '"ada","a-b","","says ""x"", y"\r\n'


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_every_text_comes_back_but_for_the_apostrophe(cells: list[str]) -> None:
    (read,) = csv.reader(io.StringIO(csv_line(cells), newline=""))
    assert [have.removeprefix("'") for have in read] == [cell.removeprefix("'") for cell in cells]
