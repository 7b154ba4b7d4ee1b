import os
from pathlib import Path

import pytest

from drivers.files import replace_files, temporary_beside


def test_files_are_synced_before_any_is_renamed_and_the_folder_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real = os.replace
    monkeypatch.setattr(os, "fsync", lambda _: events.append("fsync"))

    def replace(source: Path, target: Path) -> None:
        events.append(target.name)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    replace_files([(tmp_path / "b", b"2"), (tmp_path / "a", b"1")])
    assert events == ["fsync", "fsync", "b", "a", "fsync"]
    assert (tmp_path / "a").read_bytes() == b"1"


def test_files_stay_as_they_were_when_the_last_look_refuses(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def refuse() -> None:
        assert len(list(tmp_path.iterdir())) == 2
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        replace_files([(target, b"new")], before_rename=refuse)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_first_file_is_new_and_nothing_is_left_when_the_second_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if target.name == "b":
            raise OSError(5, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="Input/output"):
        replace_files([(tmp_path / "a", b"1"), (tmp_path / "b", b"2")])
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_temporary_is_removed_when_the_block_ends(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "a") as path:
        path.write_bytes(b"x")
        assert path.parent == tmp_path
    assert not list(tmp_path.iterdir())
