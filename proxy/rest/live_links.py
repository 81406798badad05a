"""Live connections that a filter finds, for what is done to them."""

from __future__ import annotations

from collections.abc import Mapping

from rest_framework.exceptions import ParseError

from proxy.rest.fields import Body, Text
from proxy.tables import choosing
from proxy.tables.choosing import Chosen, TooManyLinks, WrongFilter

_MAX_ID_CHARS = 255


class LinksSerializer(Body):
    """Live connections, by what they all have."""

    user = Text(max_length=_MAX_ID_CHARS, required=False)
    route = Text(max_length=_MAX_ID_CHARS, required=False)
    topic = Text(max_length=_MAX_ID_CHARS, required=False)
    address = Text(max_length=64, required=False, help_text="One IP address.")
    node = Text(max_length=300, required=False, help_text="Its id, or HOST:PID.")


def chosen(wanted: Mapping[str, str]) -> Chosen:
    """Those that have all of that. Raises ParseError: a filter is none, or they are too many; UnknownWord."""
    try:
        return choosing.chosen(wanted)
    except WrongFilter as error:
        raise ParseError(f"{error.name} {error}") from None
    except TooManyLinks as error:
        raise ParseError(str(error)) from None
