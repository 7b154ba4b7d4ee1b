"""Keeping Dask workers busy with pieces of work, and what becomes of one whose worker dies.

A worker may die or join at any time, the connection may break for a while, the scheduler may go for
good: each piece ends with a result or as one that was lost, and nothing waits for ever.
"""

import queue
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from drivers.errors import ConfigurationError, VeilightError
from veilight._version import __version__
from veilight.frontier.allocator import keep_freed_memory
from veilight.frontier.cluster import CONNECT_SECONDS, WORKER_DEATHS

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Dispatcher", "Lost"]

Item = TypeVar("Item")
Result = TypeVar("Result")

PULSE_SECONDS = 1.0
"""How often the cluster is looked at while nothing is finished."""
NOBODY_SECONDS = 600.0
"""How long is waited for a worker when there is none."""
ANSWER_SECONDS = 60.0
"""How long the cluster may take to say who is there, or to hand a result over."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A piece that came to nothing because its workers died or failed."""

    reason: str


class Dispatcher(Generic[Item, Result]):
    """Gives pieces of work to workers, as many at a time as they have threads.

    No more, because Dask blames the death of a worker on all that it had been given.

    Args:
        client: of the cluster.
        work: what a worker does with a piece; it and the pieces are pickled.
        on_notice: told in words when there is nobody to work, and when there is again.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: "Client",
        work: Callable[[Item], Result],
        *,
        on_notice: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = 0
        self._client = client
        self._work = work
        self._notice = on_notice
        self._clock = clock
        # Two programs on one cluster must not share what is under way.
        self._name = f"veilight-{secrets.token_hex(4)}"
        scheduler: Any = client.scheduler
        self._scheduler, self._address = scheduler, str(scheduler.address)
        self._by_address = client.cluster is None
        self._items: Sequence[Item] = ()
        self._waiting: list[int] = []
        self._running: dict[str, tuple[int, Any]] = {}
        self._tries: Counter[int] = Counter()
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._nobody_since: float | None = None
        self._told = ""

    def outcomes(self, items: Sequence[Item]) -> Iterator[tuple[int, Result | Lost]]:
        """What comes of each piece, with its place, in the order in which they finish.

        Once for a dispatcher.

        Args:
            items: the pieces, most valuable first.

        Raises:
            ConfigurationError: a worker has another veilight.
            VeilightError: the work's own; it would meet all pieces.
        """
        self._items, self._waiting = items, list(range(len(items)))
        try:
            while self._waiting or self._running:
                gone = self._look()
                if gone is not None:
                    yield from self._given_up(gone)
                    return
                self._submit()
                found = self._next()
                if found is not None:
                    yield found
        finally:
            # Also where the caller stops half-way: no worker goes on for nobody.
            for _, future in self._running.values():
                future.release()

    def _look(self) -> str | None:
        """Count the threads that are there; the reason to give up, if there is one."""
        status = self._client.status
        if status not in ("running", "connecting"):
            return (
                f"the Dask scheduler at {self._address} is gone, no answer for {CONNECT_SECONDS} "
                "s; start it and its workers again"
            )
        self.slots = self._threads() if status == "running" else 0
        if self.slots:
            if self._nobody_since is not None:
                self._tell(f"workers are there again, with {self.slots} threads")
            self._nobody_since = None
            return None
        now = self._clock()
        if self._nobody_since is None:
            self._nobody_since = now
        self._tell(self._waits_for(status))
        if now - self._nobody_since < NOBODY_SECONDS:
            return None
        return f"no worker was there for {NOBODY_SECONDS:g} s{self._start_some()}"

    def _threads(self) -> int:
        """Of all workers; none where the scheduler does not say."""
        try:
            threads = self._client.sync(self._scheduler.ncores, callback_timeout=ANSWER_SECONDS)
        except OSError:
            return 0
        return sum(threads.values())

    def _tell(self, text: str) -> None:
        """Give notice of what has changed."""
        if text != self._told:
            self._told = text
            self._notice(text)

    def _waits_for(self, status: str) -> str:
        if status != "running":
            return f"the connection to the Dask scheduler at {self._address} broke, trying again"
        return f"no worker is there{self._start_some()}; waiting for {NOBODY_SECONDS:g} s at most"

    def _start_some(self) -> str:
        return f"; start some with `dask worker {self._address} --nthreads 1`" * self._by_address

    def _submit(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            place = self._waiting.pop(0)
            self._tries[place] += 1
            future = self._client.submit(
                work_on_worker,
                self._work,
                self._items[place],
                __version__,
                key=f"{self._name}-{place}-{self._tries[place]}",
                pure=False,
            )
            self._running[str(future.key)] = (place, future)
            future.add_done_callback(self._finished.put)

    def _next(self) -> tuple[int, Result | Lost] | None:
        """The next that is finished; None where there is none, or it is to be tried again."""
        try:
            future = self._finished.get(timeout=PULSE_SECONDS)
        except queue.Empty:
            return None
        place, _ = self._running.pop(str(future.key))
        found = _found_in(future)
        future.release()
        if found is not None:
            return place, found[0]
        if self._tries[place] < WORKER_DEATHS:
            self._waiting.insert(0, place)
            return None
        return place, Lost(
            reason=f"the cluster at {self._address} forgot it {WORKER_DEATHS} times; does somebody "
            "restart it, or does its network break?",
        )

    def _given_up(self, reason: str) -> Iterator[tuple[int, Lost]]:
        """All that is left, what is under way first."""
        for place in [*(place for place, _ in self._running.values()), *self._waiting]:
            yield place, Lost(reason=reason)


def work_on_worker(work: Callable[[Item], Result], item: Item, version: str) -> Result:
    """Do a piece where its worker is; an error that all would meet names the worker.

    Args:
        work: what is to be done.
        item: with what.
        version: of veilight where the program was started.

    Raises:
        ConfigurationError: the worker has another veilight.
        VeilightError: the work's own.
    """
    from distributed import get_worker

    keep_freed_memory()
    place = get_worker().address
    if version != __version__:
        raise ConfigurationError(
            f"worker {place} has veilight {__version__}, but the work was given out by {version}; "
            "install that there, and start the worker again"
        )
    try:
        return work(item)
    except VeilightError as error:
        raise type(error)(f"worker {place}: {error}") from error


def _found_in(future: Any) -> tuple[Any] | None:
    """What a future holds; None where it was forgotten on the way.

    An error that all pieces would meet is raised.
    """
    from distributed import KilledWorker

    error: BaseException | None = None
    if future.status == "finished":
        try:
            return (future.result(timeout=ANSWER_SECONDS),)
        except (OSError, CancelledError):
            return None
    if future.status == "error":
        error = future.exception(timeout=ANSWER_SECONDS)
    if error is None:
        return None
    if isinstance(error, KilledWorker):
        reason = (
            f"its worker died {error.allowed_failures + 1} times, last the one at "
            f"{getattr(error.last_worker, 'address', error.last_worker)}; is there memory enough?"
        )
        return (Lost(reason=reason),)
    if isinstance(error, VeilightError):
        raise error
    return (Lost(reason=f"{type(error).__name__}: {error}"),)
