"""Simulated time: it stands still until someone sleeps, and then moves at once."""

import math
import threading
from collections.abc import Callable

from drivers.errors import ConfigurationError

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """A monotonic clock in simulated seconds that everything on a simulated bench shares.

    Components that drift register with `on_advance` and are told every step of time.

    Args:
        now: the first reading in seconds.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._callbacks: list[Callable[[float], None]] = []
        self._lock = threading.RLock()

    def now(self) -> float:
        """Simulated seconds."""
        return self._now

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` of simulated time pass; returns at once."""
        self.advance(duration_s)

    def advance(self, duration_s: float) -> None:
        """Move time forward and age everything that has registered.

        Args:
            duration_s: seconds, finite and not negative.

        Raises:
            ConfigurationError: the duration is negative or not a finite number.
        """
        if not (math.isfinite(duration_s) and duration_s >= 0):
            raise ConfigurationError(
                f"simulated clock: advance by {duration_s} s, it must be finite and not negative"
            )
        with self._lock:
            self._now += duration_s
            for callback in tuple(self._callbacks):
                callback(duration_s)

    def on_advance(self, callback: Callable[[float], None]) -> None:
        """Call `callback(duration_s)` at every step of time, in order of registration."""
        with self._lock:
            self._callbacks.append(callback)
