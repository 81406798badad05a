"""How the schema describes what all paths have in common: who may call, and errors."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication

from proxy.rest.access import KeyOrToken, KeyTokenOrStaff, TokenOrStaff, UserToken, UserTokenOrKey


class ErrorSerializer(serializers.Serializer[Any]):
    """Why it was not done. The message is for people; `code` is one of a few words."""

    code = serializers.CharField()
    message = serializers.CharField()
    retry_after_ms = serializers.IntegerField(required=False)


ERRORS = dict.fromkeys((400, 401, 403, 429, 503), ErrorSerializer)
BODY_ERRORS = ERRORS | dict.fromkeys((411, 413, 415), ErrorSerializer)
PAGE_ERRORS = ERRORS | {404: ErrorSerializer}
_BEARER = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class KeyOrTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """drf-spectacular finds it by its class."""

    target_class: type[BaseAuthentication] = KeyOrToken
    name = ["Api-Key", "Bearer"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # one of them is enough

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        key = "`Api-Key KEY`, of `manage.py issue_api_key`."
        return [
            {"type": "apiKey", "in": "header", "name": "Authorization", "description": key},
            _BEARER,
        ]


class UserTokenOrKeyScheme(KeyOrTokenScheme):  # type: ignore[no-untyped-call]
    """The same two, elsewhere."""

    target_class = UserTokenOrKey


class KeyTokenOrStaffScheme(KeyOrTokenScheme):  # type: ignore[no-untyped-call]
    """Those two, or the session that staff have in admin."""

    target_class = KeyTokenOrStaff
    name = ["Api-Key", "Bearer", "Session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [*super().get_security_definition(auto_schema), _session()]


class UserTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The second of them alone."""

    target_class = UserToken
    name = "Bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return _BEARER


class TokenOrStaffScheme(KeyOrTokenScheme):  # type: ignore[no-untyped-call]
    """A token, or the session that staff have in admin."""

    target_class = TokenOrStaff
    name = ["Bearer", "Session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [_BEARER, _session()]


def _session() -> dict[str, str]:
    told = "That of staff in admin; the header `X-CSRFToken` stands beside it."
    return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME, "description": told}
