"""Sweeps on Dask workers: what is trained, what is kept, what happens when a worker dies."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client

from drivers.errors import ConfigurationError, DataError
from tests.frontier_specs import SOURCE, SPEC
from veilight.frontier import cluster, dispatch
from veilight.frontier.cluster import worker_cluster
from veilight.frontier.networks import (
    DataSource,
    FailedNetwork,
    NetworkSpec,
    Outcome,
    TrainedModel,
    TrainedNetwork,
    model_file_of,
)
from veilight.frontier.store import ResultStore
from veilight.frontier.sweep import LostNetwork, SweepProgress, Trainer, run_sweep

SPECS = tuple(replace(SPEC, seed=seed) for seed in range(5))

Connect = Callable[[], AbstractContextManager[Client]]


def _trainer(what: Callable[[NetworkSpec], Outcome | None]) -> Trainer:
    """A trainer that does something first, for some networks; it travels to the workers whole."""

    def train(spec: NetworkSpec, source: DataSource, device: str) -> Outcome:
        outcome = what(spec)
        if outcome is not None:
            return outcome
        network = TrainedNetwork(
            spec=spec,
            graph={},
            accuracy=0.9,
            accuracy_error=0.01,
            accuracy_noise_free=0.95,
            test_samples=100,
            seconds=2.0,
            model_file=model_file_of(spec),
        )
        return TrainedModel(
            network=network, weights=f"{spec.seed} {source.spec}".encode(), description=b"{}"
        )

    return train


@pytest.fixture(scope="module")
def connect() -> Iterator[Connect]:
    with worker_cluster(2) as client:
        yield lambda: nullcontext(client)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ResultStore]:
    made = ResultStore(tmp_path)
    with made.lock():
        yield made


def _no_cluster() -> AbstractContextManager[Client]:
    raise AssertionError("nothing is left to do")


def test_networks_are_trained_once_when_a_sweep_is_run_again(
    store: ResultStore, connect: Connect
) -> None:
    def fail(spec: NetworkSpec) -> Outcome | None:
        if spec.seed == 3:
            return FailedNetwork(spec=spec, reason="the loss became nan", seconds=1.0)
        return None

    seen: list[SweepProgress] = []
    trainer = _trainer(fail)
    first = run_sweep(store, SOURCE, SPECS[:3], connect, trainer=trainer)
    assert [network.spec for network in first.networks] == list(SPECS[:3])
    assert first.reused == 0

    second = run_sweep(store, SOURCE, SPECS, connect, trainer=trainer, on_progress=seen.append)
    assert second.reused == 3
    assert [network.spec for network in second.networks] == [SPECS[i] for i in (0, 1, 2, 4)]
    assert [failed.spec for failed in second.failed] == [SPECS[3]]
    assert [progress.done for progress in seen] == [3, 4, 5]
    # Each took 2 s; at first nobody knows of a second worker.
    assert seen[0].seconds_left == pytest.approx(4)
    assert seen[-1].seconds_left == 0

    third = run_sweep(store, SOURCE, SPECS, _no_cluster, trainer=trainer)
    assert (third.networks, third.failed, third.lost) == (second.networks, second.failed, ())
    again = run_sweep(
        store, SOURCE, SPECS, connect, trainer=_trainer(lambda _: None), retry_failed=True
    )
    assert again.reused == 4
    assert again.failed == ()
    assert (store.folder / model_file_of(SPECS[3])).read_bytes() == b"3 digits"


def test_worker_is_named_when_a_network_kills_it_every_time(
    store: ResultStore, connect: Connect, tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"

    def kill(spec: NetworkSpec) -> None:
        if spec.seed == 0:
            with deaths.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)

    result = run_sweep(store, SOURCE, SPECS, connect, trainer=_trainer(kill))
    (lost,) = result.lost
    assert lost.spec == SPECS[0]
    assert "its worker died 3 times, last the one at tls://127.0.0.1" in lost.reason
    assert deaths.read_text() == "xxx"
    assert len(result.networks) == 4
    assert store.find(SPECS[0]) is None


def test_network_is_trained_by_another_worker_when_the_first_dies_once(
    store: ResultStore, connect: Connect, tmp_path: Path
) -> None:
    marker = tmp_path / "died"

    def kill_once(spec: NetworkSpec) -> None:
        if spec.seed == 0 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    result = run_sweep(store, SOURCE, SPECS[:2], connect, trainer=_trainer(kill_once))
    assert marker.exists()
    assert len(result.networks) == 2


def test_other_networks_are_trained_when_one_meets_an_unexpected_error(
    store: ResultStore, connect: Connect
) -> None:
    def surprise(spec: NetworkSpec) -> None:
        if spec.seed == 1:
            raise RuntimeError("out of memory")

    result = run_sweep(store, SOURCE, SPECS[:3], connect, trainer=_trainer(surprise))
    assert result.lost == (LostNetwork(spec=SPECS[1], reason="RuntimeError: out of memory"),)
    assert len(result.networks) == 2


def test_finished_networks_stay_when_the_sweep_is_interrupted(
    store: ResultStore, connect: Connect
) -> None:
    def interrupt(progress: SweepProgress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(
            store, SOURCE, SPECS, connect, trainer=_trainer(lambda _: None), on_progress=interrupt
        )
    assert len(store.networks()) == 2


def test_sweep_ends_when_the_data_cannot_be_had(store: ResultStore, connect: Connect) -> None:
    with pytest.raises(DataError, match=r"worker tls://127\.0\.0\.1:\d+: .*same data"):
        run_sweep(store, SOURCE, SPECS, connect)
    assert store.networks() == ()


def test_sweep_ends_when_a_worker_has_another_veilight(
    store: ResultStore, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "__version__", "0.0.1")
    with pytest.raises(ConfigurationError, match=r"worker tls://.* was given out by 0\.0\.1"):
        run_sweep(store, SOURCE, SPECS, connect, trainer=_trainer(lambda _: None))


def test_sweep_goes_on_when_workers_leave_and_others_come(store: ResultStore) -> None:
    from distributed import LocalCluster

    notices: list[str] = []

    def on_progress(progress: SweepProgress) -> None:
        if progress.notice:
            notices.append(progress.notice)
            local.scale(1)
        elif progress.done == 1:
            local.scale(0)
            with Client(local, set_as_default=False) as client:
                while client.nthreads():
                    pass

    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address="127.0.0.1:0",
        protocol="tcp",
    ) as local:
        result = run_sweep(
            store,
            SOURCE,
            SPECS[:3],
            lambda: worker_cluster(1, local.scheduler_address),
            trainer=_trainer(lambda _: None),
            on_progress=on_progress,
        )
    assert len(result.networks) == 3
    assert [words.split(";")[0] for words in notices] == [
        "no worker is there",
        "workers are there again, with 1 threads",
    ]


def test_cluster_is_used_when_its_address_is_given(store: ResultStore) -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            protocol="tcp",
        ) as local,
    ):
        address = local.scheduler_address
        result = run_sweep(
            store,
            SOURCE,
            SPECS[:2],
            lambda: worker_cluster(1, address),
            trainer=_trainer(lambda _: None),
        )
        assert len(result.networks) == 2


def test_cluster_is_refused_when_its_workers_have_another_version(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "__version__", "0.0.1")
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            protocol="tcp",
        ) as local,
        pytest.raises(ConfigurationError, match=r"need veilight 0\.0\.1, but have"),
        worker_cluster(1, local.scheduler_address),
    ):
        pass


def test_cluster_is_refused_when_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.2)
    with (
        pytest.raises(ConfigurationError, match=r"no Dask scheduler answers at .tcp://127"),
        worker_cluster(1, "tcp://127.0.0.1:9"),
    ):
        pass
    with pytest.raises(ConfigurationError, match="0 workers"), worker_cluster(0):
        pass
