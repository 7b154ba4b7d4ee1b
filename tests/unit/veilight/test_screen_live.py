"""The live table of a run, on a terminal that is none."""

import io
import sys
from collections.abc import Sequence

import pytest

from veilight.cli._screen import Screen

COLUMNS = ("party", "quantity", "value", "limits", "")
ROWS = (
    ("server", "clearance", "18 dB", "at least 6", "ok"),
    ("client", "clearance", "3 dB", "at least 6", "LIMIT"),
)
BOLD_RED = "\x1b[1;31m"


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in place of the standard error; no fixture, pytest would put its own back."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return made


def _rows() -> Sequence[Sequence[str]]:
    return ROWS


def test_live_shows_bar_note_and_rows_when_there_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = terminal(monkeypatch)
    with Screen().live("inference", COLUMNS) as show:
        show(0.25, "sample 1 of 4", _rows)
    text = made.getvalue()
    for part in ("inference", " 25 %", "sample 1 of 4", "18 dB", "at least 6"):
        assert part in text


def test_live_marks_the_row_beyond_its_limit_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = terminal(monkeypatch)
    with Screen().live("inference", COLUMNS) as show:
        show(0.5, "", _rows)
    marked = [line for line in made.getvalue().splitlines() if BOLD_RED in line]
    assert marked
    assert all("3 dB" in line and "LIMIT" in line for line in marked)


@pytest.mark.parametrize("option", ["as_json", "quiet"])
def test_live_prints_and_reads_nothing_when_nobody_wants_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    made = terminal(monkeypatch)
    screen = Screen(as_json=option == "as_json", quiet=option == "quiet")
    with screen.live("inference", COLUMNS) as show:
        show(0.5, "note", lambda: pytest.fail("the rows were made for nobody"))
    assert made.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_live_prints_and_reads_nothing_when_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Screen().live("inference", COLUMNS) as show:
        show(0.5, "note", lambda: pytest.fail("the rows were made for nobody"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
