"""Training many networks on Dask: what is trained, who writes, how long it will take.

Workers train and hand back files in memory; only the coordinator writes, so that they need no
common disk for the results. What is in the results folder already is not trained again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from veilight.frontier.dispatch import Dispatcher, Lost
from veilight.frontier.networks import (
    DataSource,
    FailedNetwork,
    NetworkSpec,
    Outcome,
    TrainedNetwork,
)
from veilight.frontier.store import ResultStore
from veilight.frontier.training import train_network

__all__ = ["LostNetwork", "SweepProgress", "SweepResult", "Trainer", "run_sweep"]

Trainer: TypeAlias = Callable[[NetworkSpec, DataSource, str], Outcome]


@dataclass(frozen=True, kw_only=True)
class LostNetwork:
    """A network that was not trained because its workers died or failed; nothing is recorded."""

    spec: NetworkSpec
    reason: str


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """Where a sweep stands.

    Attributes:
        done: networks that are finished, failed or lost, those of earlier runs included.
        total: in all.
        reused: of `done`, those of earlier runs.
        latest: the last one, or None at the start.
        seconds_left: expected, s; None until it can be told.
        notice: what people should know of the workers, such as that there are none.
    """

    done: int
    total: int
    reused: int
    latest: TrainedNetwork | FailedNetwork | LostNetwork | None
    seconds_left: float | None
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What came of a sweep, each in the order of the specifications."""

    networks: tuple[TrainedNetwork, ...]
    failed: tuple[FailedNetwork, ...]
    lost: tuple[LostNetwork, ...]
    reused: int


def run_sweep(
    store: ResultStore,
    source: DataSource,
    specs: Sequence[NetworkSpec],
    connect: Callable[[], Any],
    *,
    device: str = "cpu",
    retry_failed: bool = False,
    trainer: Trainer = train_network,
    on_progress: Callable[[SweepProgress], None] = lambda _: None,
) -> SweepResult:
    """Train what is not there yet, and write each network as soon as it is finished.

    Whatever ends this, Ctrl-C included, leaves all finished networks in the folder.

    Args:
        store: the results folder, locked by the caller.
        source: the data.
        specs: the networks, most valuable first.
        connect: makes a context of a Dask client, as `worker_cluster` does; it is not called
            where nothing is left to do.
        device: of the workers: `auto`, `cpu` or `cuda`.
        retry_failed: train again what failed earlier.
        trainer: what a worker runs.
        on_progress: called at the start, after every network, and when there is a notice.

    Raises:
        ConfigurationError: no workers, or a specification that does not fit the data.
        DataError: the data cannot be had on a worker, or a record is somebody else's.
        OutputError: the folder cannot be written.
    """
    state = _State(specs, on_progress)
    for spec in specs:
        found = store.find(spec)
        if found is None or (retry_failed and isinstance(found, FailedNetwork)):
            state.waiting.append(spec)
        else:
            state.outcomes[spec.key] = found
    state.reused = len(state.outcomes)
    state.report(None)
    if state.waiting:
        with connect() as client:
            train = partial(_train, trainer, source, device)
            workers = Dispatcher(client, train, on_notice=state.notice)
            for place, outcome in workers.outcomes(state.waiting):
                state.slots = max(workers.slots, 1)
                if isinstance(outcome, Lost):
                    spec = state.waiting[place]
                    state.add(LostNetwork(spec=spec, reason=outcome.reason))
                else:
                    state.add(store.save(outcome))
    return state.result()


def _train(trainer: Trainer, source: DataSource, device: str, spec: NetworkSpec) -> Outcome:
    return trainer(spec, source, device)


class _State:
    """What is done, what waits, and how long the rest will take."""

    def __init__(
        self,
        specs: Sequence[NetworkSpec],
        on_progress: Callable[[SweepProgress], None],
    ) -> None:
        self.specs = specs
        self.waiting: list[NetworkSpec] = []
        self.outcomes: dict[str, TrainedNetwork | FailedNetwork | LostNetwork] = {}
        self.reused = 0
        self.slots = 1
        self._on_progress = on_progress

    def add(self, outcome: TrainedNetwork | FailedNetwork | LostNetwork) -> None:
        self.outcomes[outcome.spec.key] = outcome
        self.report(outcome)

    def notice(self, text: str) -> None:
        self.report(None, text)

    def report(
        self, latest: TrainedNetwork | FailedNetwork | LostNetwork | None, notice: str = ""
    ) -> None:
        self._on_progress(
            SweepProgress(
                done=len(self.outcomes),
                total=len(self.specs),
                reused=self.reused,
                latest=latest,
                seconds_left=self._seconds_left(),
                notice=notice,
            )
        )

    def _seconds_left(self) -> float | None:
        """From what the finished ones took, those of earlier runs included."""
        missing = [spec for spec in self.specs if spec.key not in self.outcomes]
        if not missing:
            return 0.0
        known = [o for o in self.outcomes.values() if isinstance(o, TrainedNetwork)]
        if not known:
            return None
        pace = sum(o.seconds for o in known) / sum(_effort(o.spec) for o in known)
        # The last ones do not fill all workers.
        return pace * sum(map(_effort, missing)) / min(self.slots, len(missing))

    def result(self) -> SweepResult:
        ordered = [self.outcomes[spec.key] for spec in self.specs]
        return SweepResult(
            networks=tuple(o for o in ordered if isinstance(o, TrainedNetwork)),
            failed=tuple(o for o in ordered if isinstance(o, FailedNetwork)),
            lost=tuple(o for o in ordered if isinstance(o, LostNetwork)),
            reused=self.reused,
        )


def _effort(spec: NetworkSpec) -> float:
    """Relative time of a training: epochs times the hidden units, which set the weights."""
    return spec.epochs * float(math.prod(spec.hidden) ** (1 / max(len(spec.hidden), 1)))
