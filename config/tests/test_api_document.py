"""docs/api.md says of each path what it needs, as the code does."""

from __future__ import annotations

import re

from config.testing.starts import BASE_DIR
from experience.urls import urlpatterns as products
from proxy.rest.urls import urlpatterns

DOCUMENT = BASE_DIR / "docs/api.md"


def test_the_table_has_every_method_of_staff_with_its_right_and_no_other() -> None:
    rows = re.findall(r"^\| `(GET|POST) (/api/[^`]+)` \| `([\w.]+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {(method, path): right for method, path, right in rows}
    assert len(told) == len(rows)
    names = {"<path:topic>": "TOPIC", "<path:user_id>": "USER"}
    coded = dict[tuple[str, str], str]()
    for each in (*urlpatterns, *products):
        path = f"/api/{str(each.pattern).removeprefix('api/')}"
        for written, read in names.items():
            path = path.replace(written, read)
        needs = getattr(getattr(each.callback, "cls", None), "needs", {})
        coded |= {(method, path): right for method, right in needs.items()}
    assert told == coded
