"""The dispatcher on a client that does as told: what is forgotten, what is gone, when it ends."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from distributed import Client

from tests.frontier_specs import SPEC
from veilight.frontier import dispatch
from veilight.frontier.dispatch import Dispatcher, Lost
from veilight.frontier.networks import FailedNetwork, NetworkSpec, Outcome

SPECS = tuple(replace(SPEC, seed=seed) for seed in range(3))
ADDRESS = "tcp://cluster:8786"


@dataclass
class _Scheduler:
    address: str = ADDRESS

    def ncores(self) -> None:
        raise AssertionError("it is the client who calls")


class _Future:
    def __init__(self, key: str, status: str, spec: NetworkSpec) -> None:
        self.key, self.status, self._spec = key, status, spec
        self.released = False

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def result(self, timeout: float) -> Outcome:
        assert timeout > 0
        if self._spec.seed == 2:
            raise CancelledError
        return FailedNetwork(spec=self._spec, reason="done", seconds=1.0)

    def release(self) -> None:
        self.released = True


class _Client:
    """Says what a cluster would say, one entry per question; the last one stays."""

    cluster = None

    def __init__(
        self,
        threads: Sequence[int | OSError] = (1,),
        statuses: Sequence[str] = ("running",),
        futures: Sequence[str] = ("finished",),
    ) -> None:
        self.scheduler = _Scheduler()
        self._threads, self._statuses = iter(threads), iter(statuses)
        self._futures = iter(futures)
        self._last: dict[str, Any] = {}
        self.submitted: list[_Future] = []

    @property
    def status(self) -> str:
        return str(self._next("status", self._statuses))

    def sync(self, _: object, callback_timeout: float) -> dict[str, int]:
        assert callback_timeout > 0
        threads = self._next("threads", self._threads)
        if isinstance(threads, OSError):
            raise threads
        return {"tcp://worker:1": threads} if threads else {}

    def submit(self, _task: object, *arguments: Any, key: str, pure: bool) -> _Future:
        assert not pure
        future = _Future(key, self._next("futures", self._futures), arguments[1])
        self.submitted.append(future)
        return future

    def _next(self, name: str, values: Iterator[Any]) -> Any:
        self._last[name] = next(values, self._last.get(name))
        return self._last[name]


def _outcomes(
    client: _Client, specs: Sequence[NetworkSpec], clock: Callable[[], float] = lambda: 0.0
) -> tuple[dict[int, Outcome | Lost], list[str]]:
    notices: list[str] = []
    dispatcher: Dispatcher[NetworkSpec, Outcome] = Dispatcher(
        cast(Client, client),
        lambda _: FailedNetwork(spec=SPEC, reason="", seconds=0.0),
        on_notice=notices.append,
        clock=clock,
    )
    return {specs[place].seed: outcome for place, outcome in dispatcher.outcomes(specs)}, notices


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PULSE_SECONDS", 0.0)


def test_network_is_tried_again_when_the_cluster_forgets_it_once() -> None:
    client = _Client(futures=("cancelled", "finished"))
    found, _ = _outcomes(client, SPECS[:2])
    assert [type(outcome) for outcome in found.values()] == [FailedNetwork, FailedNetwork]
    names = [future.key.split("-", 2)[2] for future in client.submitted]
    assert names == ["0-1", "0-2", "1-1"]
    assert all(future.released for future in client.submitted)


@pytest.mark.parametrize(
    ("specs", "futures"),
    [(SPECS[:1], "cancelled"), (SPECS[:1], "lost"), (SPECS[2:], "finished")],
    ids=["cancelled", "lost", "result-gone"],
)
def test_network_is_lost_when_the_cluster_forgets_it_three_times(
    specs: Sequence[NetworkSpec], futures: str
) -> None:
    client = _Client(futures=(futures,))
    found, _ = _outcomes(client, specs)
    (outcome,) = found.values()
    assert isinstance(outcome, Lost)
    assert f"the cluster at {ADDRESS} forgot it 3 times" in outcome.reason
    assert len(client.submitted) == 3


def test_all_that_is_left_is_lost_when_the_scheduler_is_gone() -> None:
    client = _Client(statuses=("running", "connecting", "closed"))
    found, notices = _outcomes(client, SPECS[:2])
    assert isinstance(found[0], FailedNetwork)
    assert isinstance(found[1], Lost)
    assert f"the Dask scheduler at {ADDRESS} is gone, no answer for 20 s" in found[1].reason
    assert notices == [f"the connection to the Dask scheduler at {ADDRESS} broke, trying again"]


def test_sweep_waits_and_says_so_once_when_no_worker_is_there() -> None:
    times = iter(range(100, 1000, 100))
    client = _Client(threads=(0, OSError("no answer"), 0, 4))
    found, notices = _outcomes(client, SPECS[:2], lambda: next(times))
    assert all(isinstance(outcome, FailedNetwork) for outcome in found.values())
    assert notices == [
        f"no worker is there; start some with `dask worker {ADDRESS} --nthreads 1`; waiting for "
        "600 s at most",
        "workers are there again, with 4 threads",
    ]


def test_sweep_ends_when_no_worker_has_been_there_for_too_long() -> None:
    times = iter((0.0, 599.0, 600.0))
    client = _Client(threads=(0,))
    found, _ = _outcomes(client, SPECS[:2], lambda: next(times))
    reasons = {outcome.reason for outcome in found.values() if isinstance(outcome, Lost)}
    assert reasons == {
        f"no worker was there for 600 s; start some with `dask worker {ADDRESS} --nthreads 1`"
    }
    assert client.submitted == []


def test_workers_get_no_more_networks_than_they_have_threads_when_some_join() -> None:
    class Pending(_Future):
        def add_done_callback(self, callback: Callable[[Any], None]) -> None:
            waiting.append(lambda: callback(self))

    class Slow(_Client):
        def submit(self, _task: object, *arguments: Any, key: str, pure: bool) -> _Future:
            future = Pending(key, "finished", arguments[1])
            self.submitted.append(future)
            return future

        def sync(self, _: object, callback_timeout: float) -> dict[str, int]:
            under_way.append(len(self.submitted))
            if len(under_way) > 4:
                waiting.pop(0)()
            return super().sync(_, callback_timeout)

    waiting: list[Callable[[], None]] = []
    under_way: list[int] = []
    specs = tuple(replace(SPEC, seed=seed) for seed in (0, 1, 3, 4))
    found, _ = _outcomes(Slow(threads=(1, 1, 2, 2)), specs)
    assert len(found) == 4
    # A second thread is used as soon as it is there, and nothing goes on top of both.
    assert under_way[:5] == [0, 1, 1, 2, 2]
