"""A twin of the game route, `/ws/inspected`, with a policy.

It does what the cheapest useful one would: it parses each message, both ways, and lets it pass.
"""

from __future__ import annotations

import json
from dataclasses import replace

from experience.routes import EXPERIENCE
from proxy.core import closes
from proxy.core.policies import FORWARD, Policy, Verdict

INVALID = Verdict(forward=False, close=closes.INVALID_DATA)


class Objects(Policy):
    """Ends the link at what is no JSON object."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return _judged(payload)

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return _judged(payload)


def _judged(payload: bytes) -> Verdict:
    try:
        fields = json.loads(payload)
    except ValueError:
        return INVALID
    return FORWARD if isinstance(fields, dict) else INVALID


INSPECTED = replace(
    EXPERIENCE, name="inspected", paths=("ws/inspected",), control=False, policy=lambda _: Objects()
)
