"""Which ways of a link its policy is asked about."""

from __future__ import annotations

from proxy.core.policies import DROP, Policy, Verdict, judges


class Deaf(Policy):
    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return DROP


def drop(payload: bytes, *, is_text: bool) -> Verdict:
    return DROP


class OneOff(Policy):
    """Overrides on itself, as a policy that is put together when the link is."""

    def __init__(self) -> None:
        self.from_service = drop  # type: ignore[method-assign]


def test_only_what_a_policy_overrides_is_asked_be_it_by_its_class_or_by_itself() -> None:
    deaf, one_off = Deaf(), OneOff()
    assert judges(None) == judges(Policy()) == (None, None)
    assert judges(deaf) == (deaf.from_client, None)
    assert judges(one_off) == (None, drop)
