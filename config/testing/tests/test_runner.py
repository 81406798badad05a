import pytest

from config.testing.runner import label_to_path, pytest_options


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("proxy.core", "proxy/core"),
        ("proxy.core.wire.tests.test_frames", "proxy/core/wire/tests/test_frames.py"),
        ("proxy/core", "proxy/core"),
        ("proxy/core/wire/tests/test_frames.py::test_x", "proxy/core/wire/tests/test_frames.py::test_x"),
    ],
)
def test_a_label_names_a_folder_a_file_or_one_test(label: str, path: str) -> None:
    assert label_to_path(label) == path


def test_djangos_options_become_pytests() -> None:
    options = pytest_options(verbosity=2, failfast=True, keepdb=True, keywords="kick and not all")

    assert options == ["-v", "--exitfirst", "--reuse-db", "-k", "kick and not all"]


def test_by_default_nothing_is_passed_on() -> None:
    assert pytest_options(verbosity=1, failfast=False, keepdb=False, keywords="") == []
