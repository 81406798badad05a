"""UserApiView: a product's paths that its users call themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from drf_spectacular.utils import extend_schema
from drf_spectacular.validation import validate_schema
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.api import BODY_ERRORS, ERRORS, Body, Text, UserApiView, UserOrKeyApiView
from proxy.core.limits import Rate
from proxy.core.rights import Rights
from proxy.models import Block
from proxy.rest import access
from proxy.rest.document import _Generator
from proxy.rest.rates import UserRate
from proxy.rest.strict_json import MOST_BODY_BYTES
from proxy.rest.tests.calling import key, token
from proxy.tables import api_keys

RIGHT = "auth.borrow_book"


class Book(Body):
    title = Text(max_length=100)


class Books(UserApiView):
    @extend_schema(operation_id="books", responses={200: Book, **ERRORS})
    def get(self, request: Request) -> Response:
        return Response({"user": self.user_id, **self.query(Book())})

    @extend_schema(operation_id="add_book", request=Book, responses={201: Book, **BODY_ERRORS})
    def post(self, request: Request) -> Response:
        return Response(self.body(Book()), status=201)


class Loans(UserOrKeyApiView):
    @extend_schema(operation_id="loans", responses={200: Book, **ERRORS})
    def get(self, request: Request) -> Response:
        who = [self.user_id, self.caller_name.partition(" ")[0]]
        return Response({"who": who, "may": self.has_right(RIGHT)})


urlpatterns = [
    path("api/books", Books.as_view()),
    path("api/loans", Loans.as_view()),
    path("", include("config.urls")),
]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def get(where: str, by: str) -> tuple[int, Any]:
    answer = Client().get(where, headers={"Authorization": by} if by else {})
    return answer.status_code, answer.json()


def post(body: str | bytes, **options: Any) -> tuple[int, Any]:
    headers = {"Authorization": token("ada")}
    options = {"content_type": "application/json", **options}
    answer = Client().post("/api/books", body, headers=headers, **options)
    return answer.status_code, answer.json()


def test_a_users_token_opens_it_and_nobody_has_to_be_a_user_of_django() -> None:
    assert get("/api/books?title=Emma", token("ada")) == (200, {"user": "ada", "title": "Emma"})
    assert post('{"title": " Emma "}') == (201, {"title": " Emma "})


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (lambda: "", "authentication_failed"),
        (lambda: "Bearer", "authentication_failed"),
        (lambda: token("ada")[:-2], "authentication_failed"),
        (lambda: token("ada", exp=1), "token_expired"),
        (lambda: key("*"), "authentication_failed"),
        (lambda: key("*").replace("Api-Key", "Bearer"), "authentication_failed"),
    ],
)
def test_who_shows_no_users_token_is_told_what_would_do(by: Any, code: str) -> None:
    answer = Client().get("/api/books", headers={"Authorization": by()})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_user_whom_staff_have_blocked_is_refused() -> None:
    Block.objects.create(user_id="ada")
    assert get("/api/books?title=Emma", token("ada"))[1] == {"code": "blocked", "message": "Blocked."}
    assert get("/api/books?title=Emma", token("bob"))[0] == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "JSON parse error"),
        (b'{"title": "\xff"}', "JSON parse error"),
        ('{"title": "a", "title": "b"}', "given twice"),
        ('{"title": NaN}', "NaN"),
        ('{"title": 1e400}', "title: Not a valid string."),
        ("[" * 5000 + "]" * 5000, "nested too deeply"),
        ("1" * 5000, "JSON parse error"),
        ('{"title": "\\ud800"}', "title: "),
        ('{"title": "\\u0000"}', "title: "),
        ('{"title": "a", "year": 1}', "no such field: year"),
        ('{"title": 7}', "title: Not a valid string."),
        ("[]", "Expected a dictionary"),
        ("", "title: This field is required."),
    ],
)
def test_a_body_that_is_not_as_it_should_be_is_a_400_that_says_why(body: str | bytes, says: str) -> None:
    status, told = post(body)
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]


def test_a_body_of_another_type_or_beyond_the_bound_is_refused() -> None:
    assert post("title=Emma", content_type="application/x-www-form-urlencoded")[0] == 415
    fits = json.dumps({"title": "a", "x": ""})
    padding = "a" * (MOST_BODY_BYTES - len(fits))
    assert post(json.dumps({"title": "a", "x": padding}))[0] == 400
    status, told = post(json.dumps({"title": "a", "x": padding + "a"}))
    assert (status, told["code"]) == (413, "bad_request")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "title: This field is required."),
        ("title=", "title: This field is required."),
        ("title=a&title=b", "title: it is given twice"),
        ("title=a&author=b", "no such field: author"),
    ],
)
def test_a_query_is_read_as_strictly(query: str, says: str) -> None:
    status, told = get(f"/api/books?{query}", token("ada"))
    assert (status, told["code"]) == (400, "bad_request")
    assert says in told["message"]


def test_a_user_who_calls_too_often_waits_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_CALLS", UserRate(lambda: Rate(3, 60)))
    by = token("ada")
    assert [get("/api/books?title=a", by)[0] for _ in range(3)] == [200] * 3
    with CaptureQueriesContext(connection) as asked:
        answer = Client().get("/api/books?title=a", headers={"Authorization": by})
    told = answer.json()
    assert (answer.status_code, told["code"], len(asked)) == (429, "too_many", 0)
    assert told["message"] == "Too many such calls of one caller: at most 3/m."
    assert 0 < told["retry_after_ms"] <= 20_000
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert get("/api/books?title=a", token("bob"))[0] == 200


def test_a_right_of_a_product_is_given_to_users_of_django_and_to_keys() -> None:
    kind = ContentType.objects.get_for_model(User)
    right = Permission.objects.create(content_type=kind, codename="borrow_book_by_token", name="May borrow")
    staff = User.objects.create(username="ada", is_superuser=True)
    Permission.objects.create(content_type=kind, codename="borrow_book", name="In admin")

    assert get("/api/loans", token("ada")) == (200, {"who": ["ada", "user"], "may": False})
    staff.user_permissions.add(right)
    assert get("/api/loans", token("ada"))[1]["may"]
    assert get("/api/loans", key("user:*"))[1] == {"who": ["", "key"], "may": False}
    lending = api_keys.make("lending", Rights(others=(RIGHT,)))
    assert get("/api/loans", f"Api-Key {lending}")[1] == {"who": ["", "key"], "may": True}
    with pytest.raises(ValueError, match=f"no such right: 'auth.burn_book'; there are: .*{RIGHT}"):
        api_keys.make("burning", Rights(others=("auth.burn_book",)))


def test_the_schema_has_its_paths_and_who_may_call() -> None:
    described = _Generator().get_schema(public=True)  # type: ignore[no-untyped-call]
    validate_schema(described)  # type: ignore[no-untyped-call]
    paths = described["paths"]
    assert paths["/api/books"]["post"]["security"] == [{"Bearer": []}]
    assert paths["/api/loans"]["get"]["security"] == [{"Api-Key": []}, {"Bearer": []}]
    assert "/api/events" in paths
