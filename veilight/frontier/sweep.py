"""Training many networks on Dask: who trains what, who writes, what happens when a worker dies.

Workers train and hand back files in memory; only the coordinator writes, so that they need no
common disk for the results. What is in the results folder already is not trained again.
"""

import logging
import math
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from drivers.errors import ConfigurationError, VeilightError
from veilight._version import __version__
from veilight.frontier.networks import (
    DataSource,
    FailedNetwork,
    NetworkSpec,
    Outcome,
    TrainedNetwork,
)
from veilight.frontier.store import ResultStore
from veilight.frontier.training import train_network

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = [
    "LostNetwork",
    "SweepProgress",
    "SweepResult",
    "Trainer",
    "run_sweep",
    "training_cluster",
]

Trainer = Callable[[NetworkSpec, DataSource, str], Outcome]

WORKER_DEATHS = 3
"""How often a network may take its worker down before it is given up."""
CONNECT_SECONDS = 20


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
    """

    done: int
    total: int
    reused: int
    latest: TrainedNetwork | FailedNetwork | LostNetwork | None
    seconds_left: float | None


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What came of a sweep, each in the order of the specifications."""

    networks: tuple[TrainedNetwork, ...]
    failed: tuple[FailedNetwork, ...]
    lost: tuple[LostNetwork, ...]
    reused: int


@contextmanager
def training_cluster(workers: int, scheduler: str | None = None) -> Iterator["Client"]:
    """A connection to Dask workers: processes of this machine, or a cluster.

    Local workers have one thread each and speak TLS with keys that only this run knows: whoever
    reaches a Dask scheduler without it runs code as its user. A cluster's own security is that of
    its address and of Dask's configuration.

    Args:
        workers: local processes, at least 1; not used with an address.
        scheduler: address of a cluster's scheduler, such as `tcp://host:8786`; None for local.

    Raises:
        ConfigurationError: no scheduler or no worker answers, or the workers have another veilight.
    """
    import dask
    from distributed import Client

    if scheduler is not None:
        with _quiet_logs(), _connected(scheduler) as client:
            yield client
        return
    if workers < 1:
        raise ConfigurationError(f"frontier: {workers} workers; give at least 1")
    settings: dict[str, Any] = {"distributed.scheduler.allowed-failures": WORKER_DEATHS - 1}
    with (
        tempfile.TemporaryDirectory(prefix="veilight-dask-") as scratch,
        _quiet_logs(),
        dask.config.set(settings),
        _local_cluster(workers, scratch) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _local_cluster(workers: int, scratch: str) -> "LocalCluster":
    """Processes that Ctrl-C does not reach: it is the coordinator's, who ends them.

    They inherit what signals are blocked from Dask's thread, which inherits it from here.
    """
    from distributed import LocalCluster

    # Otherwise it is started from that thread, and unblocks the signal there.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            security=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
        connect: makes a context of a Dask client, as `training_cluster` does; it is not called
            where nothing is left to do.
        device: of the workers: `auto`, `cpu` or `cuda`.
        retry_failed: train again what failed earlier.
        trainer: what a worker runs.
        on_progress: called at the start and after every network.

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
            for spec, outcome in _finished(client, state, (source, device), trainer):
                if isinstance(outcome, LostNetwork):
                    state.add(spec, outcome)
                else:
                    state.add(spec, store.save(outcome))
    return state.result()


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

    def add(self, spec: NetworkSpec, outcome: TrainedNetwork | FailedNetwork | LostNetwork) -> None:
        self.outcomes[spec.key] = outcome
        self.report(outcome)

    def report(self, latest: TrainedNetwork | FailedNetwork | LostNetwork | None) -> None:
        self._on_progress(
            SweepProgress(
                done=len(self.outcomes),
                total=len(self.specs),
                reused=self.reused,
                latest=latest,
                seconds_left=self._seconds_left(),
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


def _finished(
    client: "Client", state: _State, data: tuple[DataSource, str], trainer: Trainer
) -> Iterator[tuple[NetworkSpec, Outcome | LostNetwork]]:
    """Outcomes as they come, with as many networks under way as there are threads.

    No more, because Dask blames the death of a worker on all that it had been given.
    """
    from distributed import as_completed

    specs: dict[str, NetworkSpec] = {}
    queue = list(state.waiting)
    pending = as_completed(loop=client.loop)

    def submit() -> None:
        state.slots = max(sum(client.nthreads().values()), 1)
        while queue and pending.count() < state.slots:
            spec = queue.pop(0)
            future = client.submit(trainer, spec, *data, key=f"veilight-{spec.key}", pure=False)
            specs[str(future.key)] = spec
            pending.add(future)

    try:
        submit()
        for future in pending:
            spec = specs[str(future.key)]
            yield spec, _outcome_of(future, spec)
            submit()
    finally:
        # Also where the caller stops half-way: no worker goes on for nobody.
        pending.clear()


def _outcome_of(future: Any, spec: NetworkSpec) -> Outcome | LostNetwork:
    """What a future holds; an error that all networks would meet is raised."""
    from distributed import KilledWorker

    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    if future.cancelled():
        return LostNetwork(spec=spec, reason="the cluster forgot it; is its scheduler still there?")
    error = future.exception()
    if isinstance(error, KilledWorker):
        return LostNetwork(
            spec=spec,
            reason=f"its worker died {error.allowed_failures + 1} times, last the one at "
            f"{getattr(error.last_worker, 'address', error.last_worker)}; is there memory enough?",
        )
    if isinstance(error, VeilightError):
        raise error
    return LostNetwork(spec=spec, reason=f"{type(error).__name__}: {error}")


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    """A client of a cluster whose workers are there and have this veilight."""
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"no Dask scheduler answers at {scheduler}: {error}; start one with `dask scheduler` "
            "and workers with `dask worker ADDRESS --nthreads 1`"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise ConfigurationError(
                f"the Dask scheduler at {scheduler} has no workers; start some with `dask worker "
                f"{scheduler} --nthreads 1`"
            ) from error
        found = client.run(_worker_version, on_error="return")
        wrong = sorted(f"{w}: {v}" for w, v in found.items() if v != __version__)
        if wrong:
            raise ConfigurationError(
                f"workers of {scheduler} need veilight {__version__}, but have {'; '.join(wrong)}"
            )
        yield client


def _worker_version() -> str:
    from veilight._version import __version__ as version

    return version


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Dask logs what is told here in one line: deaths, cut connections."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
