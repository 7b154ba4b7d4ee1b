"""Lines of progress of the figures, for people without a terminal."""

import pytest

from veilight.cli._frontier_evaluate import _Progress


def _lines(shares: list[float], capsys: pytest.CaptureFixture[str]) -> list[str]:
    times = iter(range(0, 1000, 10))
    bar: list[tuple[float, str]] = []
    progress = _Progress(
        lambda done, note="": bar.append((done, note)), lines=True, clock=lambda: next(times)
    )
    for share in shares:
        progress(share, "certified")
    progress.notice("no worker is there")
    assert [done for done, _ in bar] == [*shares, shares[-1]]
    assert bar[-1][1] == "no worker is there"
    return capsys.readouterr().err.splitlines()


def test_line_is_written_for_each_tenth_when_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _lines([0.01, 0.1, 0.15, 0.5, 1.0], capsys) == [
        # The clock is asked where the time to go is told: 10 s for a tenth.
        "10% of the figures, certified, about 2 min to go",
        "50% of the figures, certified, about 30 s to go",
        "100% of the figures, certified",
        "no worker is there",
    ]


def test_tenth_is_told_when_its_sum_is_rounded_down(capsys: pytest.CaptureFixture[str]) -> None:
    rounded = 0.1 + 0.1 + 0.1 - 1e-16
    assert len(_lines([rounded, 0.7 - 1e-16], capsys)) == 3
