"""What a page costs before its view is reached."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.test import AsyncClient


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nowhere", 404), ("/api/events", 401)])
async def test_no_middleware_goes_to_a_thread_by_itself(
    monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    gone: list[str] = []
    hop = SyncToAsync.__call__

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        gone.append(repr(self.func))
        return await hop(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", counted)
    answer = await AsyncClient().get(path)
    assert answer.status_code == status
    assert gone
    assert not [each for each in gone if "process_re" in each]
