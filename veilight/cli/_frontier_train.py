"""The training part of `veilight frontier run`, with its progress."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from veilight.cli._frontier_show import duration
from veilight.cli._screen import Advance, Screen
from veilight.cli._tables import counted

if TYPE_CHECKING:
    from veilight.cli._frontier_options import TrainingOptions, WorkerOptions
    from veilight.frontier.networks import DataSource, NetworkSpec
    from veilight.frontier.store import ResultStore
    from veilight.frontier.sweep import SweepProgress

__all__ = ["train_networks"]


def train_networks(
    screen: Screen,
    store: "ResultStore",
    source: "DataSource",
    specs: "Sequence[NetworkSpec]",
    workers: "WorkerOptions",
    training: "TrainingOptions",
) -> list[str]:
    """Train behind a progress bar, or a line per network where there is no terminal.

    Args:
        screen: where to write.
        store: the results folder, locked.
        source: of the data.
        specs: what to train; what is in the store is not trained again.
        workers: on how many processes or which cluster.
        training: how.

    Returns:
        What was lost, in words.
    """
    from veilight.frontier.cluster import worker_cluster
    from veilight.frontier.sweep import run_sweep

    screen.say(
        f"Training {counted(len(specs), 'network')} on {workers.where}; each goes to "
        f"{store.folder} when it is finished, and Ctrl-C keeps those ..."
    )
    if workers.scheduler is not None and not _protected(workers.scheduler):
        screen.say(
            f"{workers.scheduler} is without TLS: who reaches it can run programs as its user."
        )
    with screen.progress("networks", total=len(specs)) as advance:
        result = run_sweep(
            store,
            source,
            specs,
            lambda: worker_cluster(workers.processes, workers.scheduler),
            device=training.device,
            retry_failed=training.retry_failed,
            on_progress=lambda progress: _on_network(progress, advance, screen.talks_in_lines),
        )
    for failed in result.failed:
        screen.say(f"Failed: F^2 = {_ratios(failed.spec)}: {failed.reason}")
    return [f"F^2 = {_ratios(lost.spec)}: {lost.reason}" for lost in result.lost]


def _protected(scheduler: str) -> bool:
    """Whether an address is one with TLS, or of this machine alone."""
    scheme, _, place = scheduler.rpartition("://")
    return scheme in ("tls", "wss") or place.startswith(("127.", "localhost:", "[::1]"))


def _on_network(progress: "SweepProgress", advance: Advance, in_lines: bool) -> None:
    """One network is done, or something happened to the workers."""
    from veilight.frontier.networks import FailedNetwork

    left = progress.seconds_left
    words = [f"{progress.done} of {counted(progress.total, 'network')}"]
    if progress.latest is None and progress.reused and not progress.notice:
        words.append(f"{progress.reused} of them from earlier")
    if progress.latest is not None:
        accuracy = getattr(progress.latest, "accuracy", None)
        if accuracy is not None:
            found = f"{accuracy:.2%}"
        else:
            found = "failed" if isinstance(progress.latest, FailedNetwork) else "not trained"
        words.append(f"{found} at F^2 = {_ratios(progress.latest.spec)}")
    if progress.notice:
        words.append(progress.notice)
    elif left:
        words.append(f"about {duration(left)} to go")
    advance(progress.done, ", ".join(words[1:]))
    if in_lines:
        sys.stderr.write(", ".join(words) + "\n")
        sys.stderr.flush()


def _ratios(spec: "NetworkSpec") -> str:
    return ", ".join(f"{value:g}" for value in spec.signal_to_noise)
