"""GET /api/schema: valid, and of every path that there is."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from drf_spectacular.drainage import GENERATOR_STATS, reset_generator_stats
from drf_spectacular.validation import validate_schema

from proxy.rest.document import document
from proxy.rest.urls import urlpatterns


def test_the_schema_is_valid_and_describes_every_path_and_who_may_call() -> None:
    answer = Client().get("/api/schema")
    described = json.loads(answer.content)
    assert answer.headers["Content-Type"] == "application/vnd.oai.openapi+json"
    validate_schema(described)  # type: ignore[no-untyped-call]

    paths = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{each.pattern}") for each in urlpatterns}
    ours = {each: described["paths"][each] for each in paths - {"/api/schema", "/api/tickets"}}
    answers = {"400", "401", "403", "429", "503"}
    for path, methods in ours.items():
        for method, operation in methods.items():
            callers: list[dict[str, list[str]]] = [{"Api-Key": []}, {"Bearer": []}, {"Session": []}]
            assert operation["security"] == callers[:2] if path == "/api/events" else callers
            assert operation["responses"].keys() - {"200", "201", "404"} == answers | (
                {"411", "413", "415"} if method == "post" else set()
            )


@pytest.mark.parametrize("view", [each.callback.cls for each in urlpatterns if hasattr(each.callback, "cls")])
def test_each_method_of_a_view_is_described_and_no_other(view: type) -> None:
    """Of views that say what each method needs, there is no method without such a word."""
    described = Client().get("/api/schema").json()["paths"]
    of_view = [each for each in urlpatterns if getattr(each.callback, "cls", None) is view]
    for each in of_view:
        path = re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{each.pattern}")
        methods = {method.upper() for method in described[path]}
        assert methods == {name for name in ("GET", "POST") if hasattr(view, name.lower())}
        assert methods == set(getattr(view, "needs", dict.fromkeys(methods)))


def test_tickets_are_for_users_and_staff() -> None:
    (operation,) = Client().get("/api/schema").json()["paths"]["/api/tickets"].values()
    assert operation["security"] == [{"Bearer": []}, {"Session": []}]
    answers = {"201", "400", "401", "403", "404", "411", "413", "415", "429", "503"}
    assert operation["responses"].keys() == answers


def test_a_page_is_described_as_it_is() -> None:
    described = Client().get("/api/schema").json()
    asked = {each["name"]: each for each in described["paths"]["/api/connections"]["get"]["parameters"]}
    assert asked["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    page = described["components"]["schemas"]["PaginatedConnectionList"]["properties"]
    assert page["next"] == page["previous"] == {"type": "string", "nullable": True, "format": "uri"}


def test_the_schema_can_be_read_and_nothing_else() -> None:
    answer = Client(enforce_csrf_checks=True).post("/api/schema")
    assert (answer.status_code, answer.json()["code"]) == (405, "bad_request")
    assert answer.headers["Allow"] == "GET, HEAD"


def test_no_two_paths_share_a_name_and_no_two_bodies() -> None:
    """A product's paths are in the schema, too: a client that was made of it would have one of the two."""
    reset_generator_stats()
    with GENERATOR_STATS.silence():
        described = json.loads(document.__wrapped__())
    names = [each["operationId"] for methods in described["paths"].values() for each in methods.values()]
    assert "messages" in names  # the chat's, which it had before
    assert [name for name in names if re.search(r"_\d+$", name)] == []
    told = [str(each) for each in GENERATOR_STATS._warn_cache]
    assert [each for each in told if "identical names" in each and "Serializer" in each] == []
