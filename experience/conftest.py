from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from experience.kb.tests.serving import KbProgram, environment, issue, manage, running_kb

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def kb_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a migrated SQLite database."""
    env = environment(f"sqlite:///{tmp_path_factory.mktemp('kb') / 'kb.sqlite3'}")
    migrated = manage("migrate", "experience", "--verbosity", "0", env=env)
    assert migrated.returncode == 0, migrated.stderr
    return env


@pytest.fixture(scope="session")
def kb(tmp_path_factory: pytest.TempPathFactory, kb_environment: dict[str, str]) -> Iterator[KbProgram]:
    """One service for all tests that leave it running."""
    with running_kb(tmp_path_factory.mktemp("kb"), kb_environment) as program:
        yield program


@pytest.fixture
def user_id() -> str:
    """A user that nobody was before."""
    return f"player-{next(_numbers)}"


@pytest.fixture
def token(user_id: str) -> str:
    return issue(user_id)
