"""The list of long test files, which workers take first."""

from pathlib import Path

from tests.conftest import LONGEST_FIRST


def test_long_files_are_there_when_they_are_listed() -> None:
    folder = Path(__file__).resolve().parents[1]
    assert not [name for name in LONGEST_FIRST if not (folder / name).is_file()]
    assert len(set(LONGEST_FIRST)) == len(LONGEST_FIRST)
