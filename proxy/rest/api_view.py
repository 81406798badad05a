"""What every path of the HTTP API has in common: who may call, JSON both ways, and errors as JSON."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.db import close_old_connections
from django.http import QueryDict
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from proxy.cluster.kicks import KickNotSent
from proxy.cluster.questions import LayerAway
from proxy.core.errors import AuthenticationFailed, BadRequest, Forbidden, GatewayError, NotFound, TooMany
from proxy.rest.access import Caller, KeyOrToken
from proxy.rest.rates import take_refused
from proxy.tables.executor import is_away

log = logging.getLogger(__name__)

RETRY_SECONDS = 2
# By the same words as a refused handshake.
_CODES = {each.status: each.code for each in (AuthenticationFailed, Forbidden, NotFound)}
_CODES[HTTPStatus.SERVICE_UNAVAILABLE] = "unavailable"
_NOT_SENT = "Neither Redis nor the database could be reached; some links may have ended all the same."
_NO_JSON = "The body has to be JSON, and its header to say so: `Content-Type: application/json`."


class Json(JSONRenderer):
    """In ASCII: what somebody sent stands in errors, and half a surrogate pair is no UTF-8."""

    ensure_ascii = True


class BoundedJson(JSONParser):
    """DRF's, which lets what is nested too deeply out as an error of ours."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - it is nested too deeply") from None


class JsonAlone(DefaultContentNegotiation):
    """Answers are JSON, whatever `Accept` and `?format=` ask for: errors of DRF's choice would be pages."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """A path of the API. Nothing here is DRF's default, which is the products' own to set."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (KeyOrToken,)
    permission_classes = ()
    throttle_classes = ()
    parser_classes: Sequence[type[BaseParser]] = (BoundedJson,)
    renderer_classes = (Json,)
    content_negotiation_class = JsonAlone
    versioning_class = None
    metadata_class = None
    http_method_names: Sequence[str] = ("get", "head", "post")  # HEAD is answered as GET (RFC 9110, 9.3.2)

    @property
    def caller(self) -> Caller:
        """Who calls."""
        caller: Caller = self.request.user  # type: ignore[assignment]  # that of KeyOrToken
        return caller

    @property
    def sent(self) -> Any:
        """What the body says. Raises ParseError, and UnsupportedMediaType for what is no JSON by its type."""
        data = self.request.data
        if isinstance(data, QueryDict):  # a form, of which DRF makes an empty one where it cannot read it
            raise UnsupportedMediaType(self.request.content_type)
        return data

    def perform_authentication(self, request: Request) -> None:
        """Who calls. No connection to the database is kept for it: what follows may wait for nodes."""
        super().perform_authentication(request)
        close_old_connections()

    def handle_exception(self, exc: Exception) -> Response:
        """As DRF does; who is refused too often is told so instead."""
        try:
            take_refused(self.request, exc)
        except TooMany as too_many:
            exc = too_many
        return super().handle_exception(exc)

    def get_exception_handler(self) -> Callable[[Exception, Mapping[str, Any]], Response | None]:
        return answer_error

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        # Django would log each 4xx and 5xx as well; the access log has a line, what failed another.
        response._has_been_logged = True
        return response


def check_no_query(request: Request) -> None:
    """Raises ParseError: a `dry_run` there, say, would be taken for none."""
    if request.query_params:
        raise ParseError("what is to be done stands in the body: nothing in the query")


def answer_error(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """What the caller is told; None where it is a mistake of ours."""
    request = context["request"]
    if isinstance(error, GatewayError):
        answer = _answer(error.status, error.fields(), retry_seconds=error.retry_after_seconds)
        return _asking_for_schemes(answer, context)
    if isinstance(error, APIException):
        code = _CODES.get(error.status_code, BadRequest.code)
        message = _NO_JSON if isinstance(error, UnsupportedMediaType) else sentences(error.detail)
        away = error.status_code == HTTPStatus.SERVICE_UNAVAILABLE
        said = {"code": code, "message": message}
        answer = _answer(error.status_code, said, retry_seconds=RETRY_SECONDS if away else None)
        return _asking_for_schemes(answer, context)
    told = _away(error, is_post=request.method == "POST")
    if told is None:
        return None
    log.warning("api: a call failed", extra={"path": request.path, "code": told["code"], "why": repr(error)})
    return _answer(503, told, retry_seconds=RETRY_SECONDS)


def _away(error: Exception, *, is_post: bool) -> dict[str, str] | None:
    """What a caller is told whose call failed since a store is away; None where it is none of them."""
    if isinstance(error, LayerAway):
        message = "Redis is away, or has not answered in time."  # the error names its address
        if is_post:
            message += " What was to be published may have gone out: repeat it with its idempotency key."
        return {"code": "redis_away", "message": message}
    if isinstance(error, KickNotSent):
        return {"code": "not_sent", "message": _NOT_SENT}
    if is_away(error):
        return {"code": "database_away", "message": "The database is away: nothing was done."}
    return None


def _answer(status: int, told: Mapping[str, Any], *, retry_seconds: float | None = None) -> Response:
    headers = {} if retry_seconds is None else {"Retry-After": f"{max(1, math.ceil(retry_seconds))}"}
    return Response(told, status=status, headers=headers)


def _asking_for_schemes(answer: Response, context: Mapping[str, Any]) -> Response:
    """A 401 says what would do (RFC 9110, section 11.6.1)."""
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = context["view"].get_authenticate_header(context["request"])
    return answer


def sentences(detail: Any, where: str = "") -> str:
    """What a serializer has to say, each with the field that it is of: `topic: This field is required.`"""
    if isinstance(detail, dict):
        return " ".join(
            sentences(inner, where if name == "non_field_errors" else f"{where}{name}: ")
            for name, inner in detail.items()
        )
    if isinstance(detail, list):
        return " ".join(sentences(inner, where) for inner in detail)
    return f"{where}{detail}"
