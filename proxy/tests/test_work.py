"""Background work that a product tells of."""

from __future__ import annotations

import pytest

from proxy import work
from proxy.work import Workplace, run_on_every_node


async def relay(_: Workplace) -> None: ...
async def other(_: Workplace) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_told", {})


def test_work_is_told_once_however_often_its_module_is_imported() -> None:
    run_on_every_node("relay", relay)
    run_on_every_node("relay", relay)
    assert work.told() == {"relay": relay}


async def test_work_that_is_not_async_is_told_so() -> None:
    with pytest.raises(TypeError, match="'relay' is an async function: it answers a coroutine, not NoneType"):
        await work.run("relay", lambda _: None, None)  # type: ignore[arg-type, return-value]


def test_two_works_of_one_name_are_a_mistake() -> None:
    run_on_every_node("relay", relay)
    with pytest.raises(ValueError, match="two different background works are named 'relay'"):
        run_on_every_node("relay", other)


@pytest.mark.parametrize("name", ["", "Relay", "a b", "x" * 33])
def test_a_name_that_no_label_should_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="background work is named by 1 to 32"):
        run_on_every_node(name, relay)
