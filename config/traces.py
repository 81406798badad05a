"""What the standard OTEL_… variables say of traces. Their SDK takes most mistakes for silence, or falls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
# Variables of the SDK that look like ours: of its other parts, or read by itself.
OTHERS = (
    "OTEL_BLRP_",
    "OTEL_EXPORTER_OTLP_LOGS_",
    "OTEL_EXPORTER_OTLP_METRICS_",
    *(
        f"OTEL_EXPORTER_OTLP_TRACES_{each}"
        for each in ("CERTIFICATE", "CLIENT_", "COMPRESSION", "INSECURE", "PROTOCOL")
    ),
    "OTEL_LOGS_",
    "OTEL_METRICS_",
    "OTEL_TRACES_EXPORTER",
)
_HEADER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\s*")


def share(raw: str) -> float:
    """From 0 to 1."""
    if not 0 <= float(raw) <= 1:
        raise ValueError
    return float(raw)


def headers(raw: str) -> Mapping[str, str]:
    """NAME=VALUE, separated by commas; what is special in a value is percent-encoded."""
    found = {}
    for each in filter(str.strip, raw.split(",")):
        header = _HEADER.fullmatch(each)
        if header is None:
            raise ValueError
        found[header[1]] = unquote(header[2])
    return found


def service_in(attributes: str) -> str:
    """The `service.name` of OTEL_RESOURCE_ATTRIBUTES; "" for none."""
    for each in attributes.split(","):
        name, _, value = each.partition("=")
        if name.strip() == "service.name":
            return unquote(value.strip())
    return ""
