"""What a policy answers that cannot be obeyed is its failure, told in a sentence, alike on both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.core import closes
from proxy.core.closes import Close, ClosedBy
from proxy.core.hook_failures import HookFailed
from proxy.core.policies import Policy, Verdict
from proxy.core.wire.headers import TEXT
from proxy.engine.links.relay import Relay
from proxy.engine.links.tests.dialogue import Dialogue
from proxy.engine.links.tests.splicing import NotingLife, masked, terms
from proxy.engine.links.tests.test_relay_policy import ScriptedLeg

Answer = Callable[[], Any]


class Answers(Policy):
    """Answers what it was made with."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def from_client(self, payload: bytes, *, is_text: bool) -> Verdict:
        return self._answer()  # type: ignore[no-any-return]


def spliced(answer: Answer) -> tuple[Close, ClosedBy, list[HookFailed]]:
    with Dialogue(policy=Answers(answer)) as link:
        link.client.says(masked(TEXT, b"a"))
        link.turns()
        assert link.splice.ended is not None
        return *link.splice.ended, link.failures


def relayed(answer: Answer) -> tuple[Close, ClosedBy, list[HookFailed]]:
    async def play() -> tuple[Close, ClosedBy, list[HookFailed]]:
        life = NotingLife()
        client = ScriptedLeg("a", close=None, by=ClosedBy.CLIENT)
        service = ScriptedLeg(close=None, by=ClosedBy.UPSTREAM)
        async with asyncio.timeout(30):
            ended = await Relay(client, service, terms(policy=Answers(answer), life=life)).run()
        return ended.close, ended.by, life.failures

    return asyncio.run(play())


async def _late() -> Verdict:
    raise AssertionError


@pytest.mark.parametrize("way", [spliced, relayed])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda: None, "a policy answers a Verdict, at once, not NoneType"),
        (_late, "a policy answers a Verdict, at once, not coroutine"),
        (
            lambda: Verdict(forward=False, close=Close(1006, "x")),
            "no close frame has the code 1006; 3000 to 4999 are for a route's own",
        ),
        (
            lambda: Verdict(forward=True, close=Close(99)),
            "no close frame has the code 99; 3000 to 4999 are for a route's own",
        ),
        (lambda: Verdict(forward=False, reply="\ud800"), "surrogates not allowed"),
    ],
)
def test_an_answer_that_is_no_verdict_ends_the_link_and_says_what_is_one(
    way: Callable[[Answer], tuple[Close, ClosedBy, list[HookFailed]]],
    answer: Answer | Callable[[], Awaitable[Verdict]],
    why: str,
) -> None:
    close, by, (failure,) = way(answer)
    assert (close, by) == (closes.INTERNAL_ERROR, ClosedBy.GATEWAY)
    assert failure.hook == "policy"
    assert why in str(failure.__cause__)


@pytest.mark.parametrize("way", [spliced, relayed])
def test_an_empty_close_can_be_sent(
    way: Callable[[Answer], tuple[Close, ClosedBy, list[HookFailed]]],
) -> None:
    assert way(lambda: Verdict(forward=False, close=Close(1005))) == (Close(1005), ClosedBy.GATEWAY, [])
