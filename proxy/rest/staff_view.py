"""A path for what staff see and do in admin: each of its methods needs a right, and has a rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.db import OperationalError
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ParseError, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from proxy.core.limits import Rate
from proxy.core.rights import OF_STAFF
from proxy.rest.access import KeyTokenOrStaff
from proxy.rest.api_view import ApiView, check_no_query, sentences
from proxy.rest.fields import Body, Text
from proxy.rest.rates import UserRate
from proxy.tables.executor import STATEMENT_SECONDS, took_too_long
from proxy.tables.known import UnknownWord

MAX_REASON_CHARS = 200
# Told to one who asks for it, and not as a 503, which he would repeat.
TOO_MUCH = (
    f"this took the database more than {STATEMENT_SECONDS:g} seconds: ask with one filter, or with another"
)
_MAY = {
    "view_connection": "list connections",
    "kick_connection": "kick",
    "revoke_tokens": "revoke",
    **{right: can.removeprefix("Can ") for right, can in OF_STAFF.items()},
}
_READS = UserRate(lambda: settings.API_RATE_PER_USER)
_DEEDS = UserRate(lambda: settings.API_RATE_PER_USER)
# For what looks at all live links, or is read by thousands: dry runs as well.
WIDE = UserRate(lambda: Rate(20, 20))
_READING = frozenset({"GET", "HEAD"})


class Reason(Text):
    """Why something is done, for the audit."""

    def __init__(self, **options: Any) -> None:
        told = "Why, for the audit; clients are not told."
        super().__init__(max_length=MAX_REASON_CHARS, help_text=told, **options)

    def to_internal_value(self, data: Any) -> str:
        reason = " ".join(super().to_internal_value(data).split())
        if not reason:
            self.fail("blank")
        return reason


class StaffApiView(ApiView):
    """By a key, a user's token or a session of staff, that has the right which the method `needs`."""

    authentication_classes = (KeyTokenOrStaff,)
    http_method_names: Sequence[str] = ("get", "head", "post")
    # By method. A right is called as the permission of staff is.
    needs: ClassVar[Mapping[str, str]] = {}
    read_rate: ClassVar[UserRate | None] = _READS
    deed_rate: ClassVar[UserRate] = _DEEDS

    def check_permissions(self, request: Request) -> None:
        """Raises PermissionDenied: who calls has not that right; TooMany: and calls too often."""
        method = "GET" if request.method in _READING else str(request.method)
        if method in self.needs:
            self.check_right(self.needs[method])

    def check_throttles(self, request: Request) -> None:
        rate = self.read_rate if request.method in _READING else self.deed_rate
        if rate is not None:
            rate.take(self.caller.name)

    def check_right(self, right: str) -> None:
        """Raises PermissionDenied."""
        if not self.caller.rights.may(right):
            what = _MAY.get(right) or f"do what needs {right}"  # a product's
            raise PermissionDenied(f"{self.caller.name} may not {what}")

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, OperationalError) and took_too_long(exc):
            exc = ParseError(TOO_MUCH)
        if isinstance(exc, UnknownWord):
            exc = ParseError(f"{exc.what}: {exc}")
        return super().handle_exception(exc)

    def read(self, fields: serializers.Serializer[Any]) -> dict[str, Any]:
        """The request's body, as `fields` has it. Raises ParseError, which says what is wrong."""
        check_no_query(self.request)
        return _valid(fields, self.sent)

    def query(self, fields: serializers.Serializer[Any]) -> dict[str, Any]:
        """Likewise of the query."""
        given = self.request.query_params
        check_once(given)
        return _valid(fields, given.dict())


class ReasonedBody(Body):
    """What is to be done, and why."""

    reason = Reason()


def check_once(given: QueryDict) -> None:
    """Raises ParseError: a name stands twice in a query."""
    twice = sorted(name for name, values in given.lists() if len(values) > 1)
    if twice:
        raise ParseError(f"{twice[0][:100]}: it is given twice")


def _valid(fields: serializers.Serializer[Any], given: Any) -> dict[str, Any]:
    try:
        valid: dict[str, Any] = fields.run_validation(given)
    except ValidationError as error:
        raise ParseError(sentences(error.detail)) from None
    return valid
