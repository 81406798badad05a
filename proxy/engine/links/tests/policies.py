"""Policies that several tests play with."""

from __future__ import annotations

from proxy.core.policies import FORWARD, Policy, Verdict


class OneWay(Policy):
    """Looks at what the client says, and forwards it."""

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return FORWARD


class Forwarding(OneWay):
    """Looks at everything, and forwards it."""

    def from_service(self, payload: bytes, *, is_text: bool) -> Verdict:
        return FORWARD
