"""The figures of trained networks, worked out on several processes, with progress."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from veilight.cli._frontier_show import duration
from veilight.cli._screen import Advance, Screen
from veilight.cli._tables import counted

if TYPE_CHECKING:
    from veilight.cli._frontier_options import FigureOptions, WorkerOptions
    from veilight.frontier.report import FrontierReport
    from veilight.frontier.spread import Spread
    from veilight.frontier.store import ResultStore

__all__ = ["evaluate_networks"]

LINES = 10
"""Lines of progress where there is no terminal."""
TELLING = 0.02
"""Share that has to be done before the time to go is told."""


def evaluate_networks(
    screen: Screen, store: "ResultStore", figures: "FigureOptions", workers: "WorkerOptions"
) -> "FrontierReport":
    """All networks of the folder, those of earlier grids included.

    Args:
        screen: where to write.
        store: the results folder.
        figures: what is assumed, and for which receivers.
        workers: on how many processes or which cluster.
    """
    from veilight.frontier.report import build_report

    kinds, encodings = figures.chosen()
    link = figures.link()
    networks = store.networks()
    if networks:
        screen.say(
            f"Working out the least leakage of {counted(len(networks), 'network')}, on "
            f"{workers.where} ..."
        )
    with screen.progress("figures", total=1.0) as advance:
        progress = _Progress(advance, lines=screen.talks_in_lines)
        with _spread(workers, progress.notice) as spread:
            return build_report(
                networks,
                store.failures(),
                kinds=kinds,
                encodings=encodings,
                link=link,
                budget_bits_per_weight=figures.budget,
                spread=spread,
                on_progress=progress,
            )


@contextmanager
def _spread(workers: "WorkerOptions", on_notice: Callable[[str], None]) -> "Iterator[Spread]":
    """This process where it would be the only one, else Dask workers."""
    from veilight.frontier.cluster import worker_cluster
    from veilight.frontier.spread import in_this_process, on_workers

    if workers.scheduler is None and workers.processes == 1:
        yield in_this_process
        return
    with worker_cluster(workers.processes, workers.scheduler) as client:
        yield on_workers(client, on_notice)


class _Progress:
    """Moves the bar; without a terminal writes a line now and then.

    Args:
        advance: moves the bar.
        lines: whether to write lines.
        clock: monotonic seconds.
    """

    def __init__(
        self, advance: Advance, *, lines: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._advance, self._lines, self._clock = advance, lines, clock
        self._begin = clock()
        self._told = 0
        self._done = 0.0

    def __call__(self, done: float, what: str) -> None:
        self._done = done
        note = what
        if TELLING < done < 1:
            left = (self._clock() - self._begin) * (1 - done) / done
            note = f"{what}, about {duration(left)} to go"
        self._advance(done, note)
        # A rounding below a whole tenth must not put its line off to the next one.
        reached = int(done * LINES + 1e-9)
        if reached > self._told:
            self._told = reached
            self._write(f"{done:.0%} of the figures, {note}")

    def notice(self, text: str) -> None:
        """What happened to the workers."""
        self._advance(self._done, text)
        self._write(text)

    def _write(self, text: str) -> None:
        if self._lines:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
