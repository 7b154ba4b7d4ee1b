"""What people read while a sweep trains."""

from pathlib import Path

import pytest

from tests.frontier_specs import SOURCE, SPEC
from veilight.cli import _frontier_train
from veilight.cli._frontier_options import TrainingOptions, WorkerOptions
from veilight.cli._screen import Screen
from veilight.frontier import sweep
from veilight.frontier.networks import FailedNetwork
from veilight.frontier.store import ResultStore
from veilight.frontier.sweep import LostNetwork, SweepProgress, SweepResult


def _trained(
    monkeypatch: pytest.MonkeyPatch, folder: Path, scheduler: str | None, *seen: SweepProgress
) -> list[str]:
    def run(*_: object, on_progress: object, **__: object) -> SweepResult:
        assert callable(on_progress)
        for progress in seen:
            on_progress(progress)
        failed = FailedNetwork(spec=SPEC, reason="the loss became nan", seconds=1.0)
        lost = LostNetwork(spec=SPEC, reason="the scheduler is gone")
        return SweepResult(networks=(), failed=(failed,), lost=(lost,), reused=0)

    monkeypatch.setattr(sweep, "run_sweep", run)
    return _frontier_train.train_networks(
        Screen(),
        ResultStore(folder),
        SOURCE,
        (SPEC,),
        WorkerOptions(scheduler=scheduler),
        TrainingOptions(),
    )


@pytest.mark.parametrize(
    ("scheduler", "warned"),
    [
        (None, False),
        ("tls://10.0.0.5:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("localhost:8786", False),
        ("tcp://10.0.0.5:8786", True),
        ("cluster:8786", True),
    ],
    ids=["local", "tls", "loopback", "localhost", "tcp", "name"],
)
def test_warning_is_shown_when_a_scheduler_is_open_to_others(
    scheduler: str | None,
    warned: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = _trained(monkeypatch, tmp_path, scheduler)
    assert ("is without TLS: who reaches it" in capsys.readouterr().out) == warned
    assert lost == ["F^2 = 0.25, 0.5: the scheduler is gone"]


def test_line_says_what_happened_when_networks_finish_and_workers_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def at(done: int, latest: FailedNetwork | LostNetwork | None, notice: str) -> SweepProgress:
        return SweepProgress(
            done=done, total=3, reused=1, latest=latest, seconds_left=100.0, notice=notice
        )

    failed = FailedNetwork(spec=SPEC, reason="", seconds=1.0)
    seen = [at(1, None, ""), at(1, None, "no worker is there"), at(2, failed, "")]
    seen.append(at(3, LostNetwork(spec=SPEC, reason=""), ""))
    _trained(monkeypatch, tmp_path, None, *seen)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "1 of 3 networks, 1 of them from earlier, about 2 min to go",
        "1 of 3 networks, no worker is there",
        "2 of 3 networks, failed at F^2 = 0.25, 0.5, about 2 min to go",
        "3 of 3 networks, not trained at F^2 = 0.25, 0.5, about 2 min to go",
    ]
    assert "Failed: F^2 = 0.25, 0.5: the loss became nan" in captured.out
