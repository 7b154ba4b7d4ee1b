"""Signs of life of a control loop: whether it hangs while there may be light."""

import threading

from drivers.instruments import Clock

__all__ = ["LifeSigns"]


class LifeSigns:
    """When the control loop was last seen to live, and whether that matters.

    A program that computes, or waits for a person, with everything dark harms nobody: silence
    only counts while a bench may emit light. Safe for use from several threads.

    Args:
        hang_s: longest silence in s with light on; more is a hang.
        clock: monotonic.
    """

    def __init__(self, hang_s: float, clock: Clock) -> None:
        self._hang_s = hang_s
        self._clock = clock
        self._lock = threading.Lock()
        self._quiet_until = clock.now() + hang_s
        self._lit: set[str] = set()

    def alive(self, busy_s: float = 0.0) -> None:
        """The control loop lives.

        Args:
            busy_s: time in s >= 0 for which it will be busy without a further sign; a grant that
                is longer stays.
        """
        with self._lock:
            until = self._clock.now() + self._hang_s + busy_s
            self._quiet_until = max(self._quiet_until, until)

    def set_light(self, bench: str, on: bool) -> None:
        """Whether a bench may emit light from now on; light that comes on is a sign of life."""
        with self._lock:
            if not on:
                self._lit.discard(bench)
            elif bench not in self._lit:
                self._lit.add(bench)
                self._quiet_until = max(self._quiet_until, self._clock.now() + self._hang_s)

    def hangs(self) -> bool:
        """Whether there may be light and the control loop has been silent for too long."""
        with self._lock:
            return bool(self._lit) and self._clock.now() > self._quiet_until
