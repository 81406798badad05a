"""A path that a product's users call themselves: what it has in common with the others, and what not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ParseError, ValidationError

from proxy.rest.access import Caller, User, UserToken, UserTokenOrKey
from proxy.rest.api_view import ApiView, sentences
from proxy.rest.strict_json import StrictJson


class UserApiView(ApiView):
    """By a user's token, at most API_RATE_PER_USER, with bodies of at most 64 KiB (docs/routes.md)."""

    authentication_classes = (UserToken,)
    parser_classes = (StrictJson,)
    http_method_names: Sequence[str] = ("get", "head", "post", "delete")

    @property
    def user_id(self) -> str:
        """Who calls; "" where it is a program with an API key."""
        return getattr(self._who, "user_id", "")

    @property
    def caller_name(self) -> str:
        """As logs name it."""
        return self._who.name

    @property
    def _who(self) -> User | Caller:
        who: User | Caller = self.request.user  # type: ignore[assignment]  # that of UserToken
        return who

    def has_right(self, right: str) -> bool:
        """Whether staff have given it to the caller, such as `chat.add_participant`."""
        return right in self._who.rights.others

    def body(self, fields: serializers.Serializer[Any]) -> dict[str, Any]:
        """The request's body, as `fields` has it. Raises ParseError, which says what is wrong."""
        return _valid(fields, self.sent)

    def query(self, fields: serializers.Serializer[Any]) -> dict[str, Any]:
        """Likewise of the query. An empty parameter counts as none; one that comes twice is an error."""
        given = self.request.query_params
        twice = sorted(name for name, values in given.lists() if len(values) > 1)
        if twice:
            raise ParseError(f"{twice[0][:100]}: it is given twice")
        return _valid(fields, {name: value for name, value in given.items() if value})


class UserOrKeyApiView(UserApiView):
    """For programs as well, by an API key; what those may do, `has_right` says."""

    authentication_classes = (UserTokenOrKey,)


def _valid(fields: serializers.Serializer[Any], given: Any) -> dict[str, Any]:
    try:
        valid: dict[str, Any] = fields.run_validation(given)
    except ValidationError as error:
        raise ParseError(sentences(error.detail)) from None
    return valid
