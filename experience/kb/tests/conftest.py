from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from experience.kb.tests.serving import KbProcess, environment, issue, manage, running_kb

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kb_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a migrated database."""
    database: Path = tmp_path_factory.mktemp("kb") / "kb.sqlite3"
    env = environment(database)
    manage("migrate", "experience", "--verbosity", "0", env=env)
    return env


@pytest.fixture(scope="session")
def kb(kb_environment: dict[str, str]) -> Iterator[KbProcess]:
    """One service for all tests that leave it running."""
    with running_kb(kb_environment) as process:
        yield process


@pytest.fixture
def user_id() -> str:
    """A user that nobody was before."""
    return f"player-{next(_numbers)}"


@pytest.fixture
def token(user_id: str) -> str:
    return issue(user_id)
