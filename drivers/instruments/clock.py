"""Monotonic time: the computer's, or a simulated one."""

import time
from typing import Protocol

__all__ = ["Clock", "FastClock", "SystemClock"]


class Clock(Protocol):
    """Monotonic time in seconds, from an arbitrary origin. Real or simulated."""

    def now(self) -> float:
        """The time in s."""
        ...

    def sleep(self, duration_s: float) -> None:
        """Return when `duration_s` >= 0 has passed."""
        ...


class SystemClock:
    """The computer's monotonic clock."""

    def now(self) -> float:
        """The time in s since an arbitrary origin."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Block the calling thread for `duration_s` >= 0."""
        time.sleep(duration_s)


class FastClock:
    """The computer's clock, run fast: for emulators whose simulated time runs as fast.

    Args:
        speed: seconds of this clock per second, above 0.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def now(self) -> float:
        """The time in s since an arbitrary origin."""
        return time.monotonic() * self._speed

    def sleep(self, duration_s: float) -> None:
        """Block the calling thread for `duration_s` >= 0 of this clock."""
        time.sleep(duration_s / self._speed)
