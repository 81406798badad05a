"""A layer in memory, and who hears."""

from __future__ import annotations

import pytest

from proxy.cluster.tests.hearing import FailingLayer, Heard


@pytest.fixture
def layer() -> FailingLayer:
    return FailingLayer()


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    monkeypatch.setattr("proxy.engine.hub._RETRY_SECONDS", 0.01)
    return Heard()
