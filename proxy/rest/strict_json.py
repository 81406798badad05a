"""Bodies of users: small, and read in one way only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

MOST_BODY_BYTES = 64 * 1024


class TooLarge(APIException):
    """Of a body."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = f"a body has at most {MOST_BODY_BYTES} bytes"


class StrictJson(BaseParser):
    """JSON in UTF-8 in which no field is given twice, and no number is none (NaN)."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Raises ParseError; TooLarge before more than the bound was read."""
        body = stream.read(MOST_BODY_BYTES + 1)
        if len(body) > MOST_BODY_BYTES:
            raise TooLarge
        try:
            return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ParseError(f"JSON parse error - {told}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
