"""A second process that brings the optics to the safe state when this one dies or hangs.

Owns the process and the heartbeats between the two. They go both ways: without a watchdog that
answers, no bench of real instruments may be armed, and one that is armed becomes safe.

The heartbeats come from a thread, which alone proves nothing but that the process exists. It beats
only while the control loop shows life (`alive`), or while no bench emits light. So a process that
dies is noticed at once by the end of its pipe, one that is stopped or starved within `timeout_s`,
and a control loop that hangs with light on within `hang_s`.
"""

import logging
import os
import select
import subprocess
import threading
import weakref
from collections.abc import Callable
from typing import ClassVar

from drivers.bench.life import LifeSigns
from drivers.bench.processes import start_of
from drivers.bench.watchdog_spec import WatchdogOrders, WatchdogSpec
from drivers.bench.watchdog_start import end_watchdog, start_watchdog
from drivers.errors import ConfigurationError, WatchdogError
from drivers.instruments import Clock, SystemClock

__all__ = ["Watchdog", "WatchdogSpec"]

_LOG = logging.getLogger("veilight.safety")


class Watchdog:
    """Starts with the first bench that holds it, ends with the last one that lets go of it.

    Safe for use from several threads. A process that is forked from this one has no watchdog.

    Args:
        spec: what it does when it has to.
        interval_s: time in s between two heartbeats.
        timeout_s: longest silence in s, of either side; at least twice the interval.
        clock: monotonic, for ages.

    Raises:
        ConfigurationError: the times do not fit together.
    """

    start_timeout_s: ClassVar[float] = 30.0
    """Longest time until the new process answers; it imports what it may need."""
    end_timeout_s: ClassVar[float] = 5.0
    """Longest time for it to end when all is done."""
    help_timeout_s: ClassVar[float] = 120.0
    """Longest time for it to try what this process could not do."""

    def __init__(
        self,
        spec: WatchdogSpec,
        *,
        interval_s: float = 0.2,
        timeout_s: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        if not 0 < 2 * interval_s <= timeout_s:
            raise ConfigurationError(
                f"a watchdog's interval_s {interval_s:g} s must be above 0 and at most half of its "
                f"timeout_s {timeout_s:g} s"
            )
        self._spec = spec
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._clock = SystemClock() if clock is None else clock
        self._life = LifeSigns(spec.hang_s, self._clock)
        self._lifecycle = threading.Lock()
        self._changed = threading.Condition()
        self._holders: dict[str, Callable[[str], None]] = {}
        self._all_safe = True
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lost = ""
        self._sent = self._answered = 0
        self._answered_at = self._waiting_since = 0.0
        _ALL.add(self)

    @property
    def pid(self) -> int | None:
        """Number of the watchdog's process; None where it has not been started."""
        process = self._process
        return None if process is None else process.pid

    def hold(self, bench: str, on_lost: Callable[[str], None]) -> None:
        """Have a bench watched over.

        Args:
            bench: name of the bench.
            on_lost: called in a thread of the watchdog when it has ended or does not answer; is
                told which.

        Raises:
            WatchdogError: it cannot be started.
        """
        with self._lifecycle:
            if not self._holders:
                self._start()
            with self._changed:
                self._holders[bench] = on_lost

    def let_go(self, bench: str, *, safe: bool) -> bool | None:
        """A bench is closed. After the last one the watchdog ends.

        Args:
            bench: name of the bench.
            safe: whether it reached its safe state. If one did not, the watchdog tries it over
                connections of its own, when all are closed.

        Returns:
            None unless it tried; then whether all benches are safe.
        """
        self._life.set_light(bench, False)
        with self._lifecycle:
            with self._changed:
                if self._holders.pop(bench, None) is None:
                    return None
                self._all_safe = self._all_safe and safe
                if self._holders:
                    return None
            return self._stop()

    def alive(self, busy_s: float = 0.0) -> None:
        """The control loop lives; see `LifeSigns.alive`."""
        self._life.alive(busy_s)

    def set_light(self, bench: str, on: bool) -> None:
        """Whether a bench may emit light from now on; see `LifeSigns.set_light`."""
        self._life.set_light(bench, on)

    def beat(self) -> None:
        """Send a heartbeat now. The watchdog's thread does so as long as the control loop lives."""
        with self._changed:
            process = self._process
            if process is None or process.stdin is None or self._lost:
                return
            self._sent += 1
            if self._answered == self._sent - 1:
                self._waiting_since = self._clock.now()
            try:
                os.write(process.stdin.fileno(), f"{self._sent}\n".encode())
            except BlockingIOError:
                return  # it reads nothing; its silence will tell
            except (OSError, ValueError):
                return  # it has ended, which the thread notices by its output

    def age_s(self) -> float:
        """Time in s since the watchdog last answered; infinite where it never did."""
        with self._changed:
            return self._age_s()

    def fresh(self) -> bool:
        """Whether the watchdog lives: it has not ended and its last answer is recent."""
        with self._changed:
            return self._is_fresh()

    def require_fresh(self) -> None:
        """Return when the watchdog lives; asks it where its last answer is not recent.

        Raises:
            WatchdogError: it has not been started, has ended, or does not answer in time.
        """
        if self.fresh():
            return
        self.beat()
        with self._changed:
            if self._process is None:
                raise WatchdogError(
                    "the watchdog does not run: nothing would switch the light off if this program "
                    "died; open the bench first"
                )
            wanted = self._sent
            self._changed.wait_for(
                lambda: self._lost or self._answered >= wanted, timeout=self._timeout_s
            )
            if self._lost or self._answered < wanted:
                what = self._lost or f"has not answered for {self._age_s():.3g} s"
                raise WatchdogError(
                    f"the watchdog (process {self._process.pid}) {what}, allowed are "
                    f"{self._timeout_s:g} s: no light without it; close the benches and open them "
                    "again, and look at what it wrote to the standard error"
                )

    def _is_fresh(self) -> bool:
        process = self._process
        runs = process is not None and process.poll() is None
        return runs and not self._lost and self._age_s() <= self._timeout_s

    def _age_s(self) -> float:
        return self._clock.now() - self._answered_at if self._process else float("inf")

    def _start(self) -> None:
        orders = WatchdogOrders(
            spec=self._spec,
            pid=os.getpid(),
            start=start_of(os.getpid()) or "",
            timeout_s=self._timeout_s,
        )
        process = start_watchdog(orders, self.start_timeout_s, self._clock)
        self._stopping.clear()
        with self._changed:
            self._lost, self._all_safe = "", True
            self._sent = self._answered = 0
            self._answered_at = self._clock.now()
            self._process = process
        self._life.alive()
        self._thread = threading.Thread(
            target=self._watch, args=(process,), name="veilight-watchdog", daemon=True
        )
        self._thread.start()
        _LOG.info("watchdog: process %d", process.pid)

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """The thread: beats, takes answers, and says so when there are none."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        rest, stale = b"", False
        next_beat = self._clock.now()
        while not self._stopping.is_set():
            if self._clock.now() >= next_beat:
                if not self._life.hangs():
                    self.beat()
                next_beat = self._clock.now() + self._interval_s
            if poll.poll(max(0.0, next_beat - self._clock.now()) * 1e3):
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    self._end_of_answers()
                    return
                *lines, rest = (rest + data).split(b"\n")
                self._take(lines)
            silent = self._unanswered_s() > self._timeout_s
            # This thread may have been late itself: then there is an answer to be read first.
            was_stale, stale = stale, silent and not poll.poll(0)
            if stale and not was_stale:
                self._tell_holders(f"does not answer for {self._unanswered_s():.3g} s")

    def _take(self, lines: list[bytes]) -> None:
        with self._changed:
            for line in lines:
                if line.isdigit():
                    self._answered = max(self._answered, int(line))
                    self._answered_at = self._waiting_since = self._clock.now()
            self._changed.notify_all()

    def _unanswered_s(self) -> float:
        """Since when, in s, heartbeats that were sent have no answer."""
        with self._changed:
            waits = self._sent > self._answered
            return self._clock.now() - self._waiting_since if waits else 0.0

    def _end_of_answers(self) -> None:
        if self._stopping.is_set():
            return
        with self._changed:
            self._lost = "has ended"
            self._changed.notify_all()
        self._tell_holders("has ended")

    def _tell_holders(self, what: str) -> None:
        _LOG.critical("the watchdog %s", what)
        with self._changed:
            holders = list(self._holders.values())
        for on_lost in holders:
            try:
                on_lost(f"the watchdog {what}")
            except Exception as error:
                _LOG.critical("after the watchdog was lost: %s", error)

    def _stop(self) -> bool | None:
        """End the process, or have it try what could not be made safe."""
        process, thread = self._process, self._thread
        if process is None or process.stdin is None:
            return None
        self._stopping.set()
        word = b"done\n" if self._all_safe else b"help\n"
        helped: bool | None = None
        try:
            os.write(process.stdin.fileno(), word)
            status = process.wait(self.end_timeout_s if self._all_safe else self.help_timeout_s)
            helped = None if self._all_safe else status == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            _LOG.warning("the watchdog did not end in order: %s", error)
            helped = None if self._all_safe else False
        with self._changed:
            self._process = None
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._timeout_s)
        end_watchdog(process)
        return helped

    def _forget(self) -> None:
        """In a forked process: the watchdog is the parent's."""
        process, self._process = self._process, None
        self._lifecycle, self._changed = threading.Lock(), threading.Condition()
        self._holders = {}
        if process is not None:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
            process.returncode = 0  # not ours to wait for


_ALL: "weakref.WeakSet[Watchdog]" = weakref.WeakSet()


def _forget_all() -> None:
    for watchdog in list(_ALL):
        watchdog._forget()


os.register_at_fork(after_in_child=_forget_all)
