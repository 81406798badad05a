"""GET /api/schema: valid, and of every path that there is."""

from __future__ import annotations

import json
import re

from django.test import Client
from drf_spectacular.validation import validate_schema

from proxy.rest.urls import urlpatterns


def test_the_schema_is_valid_and_describes_every_path_and_who_may_call() -> None:
    answer = Client().get("/api/schema")
    described = json.loads(answer.content)
    assert answer.headers["Content-Type"] == "application/vnd.oai.openapi+json"
    validate_schema(described)  # type: ignore[no-untyped-call]

    paths = {re.sub(r"<\w+:(\w+)>", r"{\1}", f"/api/{each.pattern}") for each in urlpatterns}
    ours = {each: described["paths"][each] for each in paths - {"/api/schema", "/api/tickets"}}
    answers = {"200", "400", "401", "403", "429", "503"}
    for path, methods in ours.items():
        for method, operation in methods.items():
            assert operation["security"] == [{"Api-Key": []}, {"Bearer": []}]
            more = (
                {"411", "413", "415"}
                if method == "post"
                else {"404"}
                if path == "/api/connections"
                else set()
            )
            assert operation["responses"].keys() == answers | more


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
