import os
from pathlib import Path

import pytest

from drivers.errors import ConfigurationError, OutputError
from veilight.report import write_report
from veilight.report._write import write_whole


def test_write_report_refuses_when_there_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 1 result"):
        write_report(tmp_path / "page.html", [], "empty")
    assert list(tmp_path.iterdir()) == []


def test_write_whole_leaves_one_file_when_it_works(tmp_path: Path) -> None:
    write_whole(tmp_path / "page.html", "größer", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "größer"


def test_write_whole_refuses_when_the_file_exists(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        write_whole(path, "new", overwrite=False)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_write_whole_replaces_when_allowed(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    write_whole(path, "new", overwrite=True)
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["missing/page.html", "a_file/page.html", "nul\0.html"])
def test_write_whole_says_what_to_do_when_the_path_cannot_be_written(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "a_file").write_text("")
    with pytest.raises(OutputError, match="choose a folder that exists"):
        write_whole(tmp_path / name, "text", overwrite=True)


def test_write_whole_refuses_when_the_path_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(tmp_path / "folder", "text", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_write_whole_keeps_the_old_page_when_the_disk_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(path, "new", overwrite=True)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
