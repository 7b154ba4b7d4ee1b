"""Work that is spread: the same results wherever it is done, and an error where some is lost."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
from distributed import Client

from drivers.errors import OutputError
from veilight.frontier import dispatch
from veilight.frontier import spread as spread_module
from veilight.frontier.spread import in_order, in_this_process, on_workers

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Future:
    """Holds a result, or nothing any more."""

    def __init__(self, key: str, result: object, status: str) -> None:
        self.key, self.status, self._result = key, status, result

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def result(self, timeout: float) -> object:
        assert timeout > 0
        return self._result

    def release(self) -> None:
        pass


class _Client:
    """A cluster of two threads that does the work at once."""

    cluster = None
    status = "running"

    def __init__(self, statuses: Iterator[str]) -> None:
        self.scheduler = SimpleNamespace(address="tcp://cluster:8786", ncores=None)
        self._statuses = statuses

    def sync(self, _: object, callback_timeout: float) -> dict[str, int]:
        assert callback_timeout > 0
        return {"tcp://worker:1": 2}

    def submit(
        self,
        _: object,
        work: Callable[[Any], object],
        item: object,
        version: str,
        *,
        key: str,
        pure: bool,
    ) -> _Future:
        assert version
        assert not pure
        return _Future(key, work(item), next(self._statuses))


def _square(value: int) -> int:
    return value * value


def _backwards(
    work: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[tuple[int, Result]]:
    for place in reversed(range(len(items))):
        yield place, work(items[place])


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PULSE_SECONDS", 0.0)


def test_results_are_in_order_when_they_are_finished_in_any() -> None:
    seen: list[float] = []
    assert in_order(_backwards, _square, [1, 2, 3, 4], seen.append) == [1, 4, 9, 16]
    assert seen == [0.25, 0.5, 0.75, 1.0]
    assert in_order(in_this_process, _square, [1, 2, 3]) == [1, 4, 9]
    assert in_order(in_this_process, _square, []) == []


def test_workers_do_what_this_process_does_when_they_are_there() -> None:
    statuses = iter(["finished", "cancelled", *["finished"] * 9])
    spread = on_workers(cast(Client, _Client(statuses)))
    assert in_order(spread, _square, [3, 1, 2]) == [9, 1, 4]


def test_small_pieces_travel_together_when_they_are_many() -> None:
    statuses = iter(["finished"] * spread_module.PARCELS)
    spread = on_workers(cast(Client, _Client(statuses)))
    many = range(5 * spread_module.PARCELS + 3)
    assert in_order(spread, _square, many) == [value * value for value in many]


def test_error_says_how_to_go_on_when_a_piece_is_lost() -> None:
    statuses = iter(["finished", *["cancelled"] * 9])
    spread = on_workers(cast(Client, _Client(statuses)))
    with pytest.raises(OutputError, match=r"forgot it 3 times.* `veilight frontier evaluate`"):
        in_order(spread, _square, [3, 1, 2])
