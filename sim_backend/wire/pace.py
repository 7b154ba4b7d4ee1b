"""How fast simulated time passes beside the wall clock, for twins that strangers talk to."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock

__all__ = ["Pace"]

_LONGEST_STEP_S = 0.05


class Pace:
    """Lets simulated time pass with the wall clock, except while the simulator computes.

    A shot moves the simulated clock by itself, and may take the computer a thousand times as long;
    that wall time is left out between `paused`. Where the process stood still for another reason,
    a step stands for `longest_step_s` at most, so that nothing on the bench times out by it. For
    one thread.

    Args:
        clock: simulated time.
        speed: simulated seconds per second on the wall, above 0.
        wall: monotonic seconds.
        longest_step_s: most wall time that one tick counts, in s.

    Raises:
        ConfigurationError: the speed or the longest step is not a finite number above 0.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        speed: float = 1.0,
        *,
        wall: Callable[[], float] = time.monotonic,
        longest_step_s: float = _LONGEST_STEP_S,
    ) -> None:
        for name, value in (("speed", speed), ("longest_step_s", longest_step_s)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"pace of simulated time: {name} is {value}, it must be finite and above 0"
                )
        self.speed = speed
        self.longest_step_s = longest_step_s
        self._clock = clock
        self._wall = wall
        self._last_s = wall()

    def tick(self) -> float:
        """Let the time pass that has passed on the wall since the last tick.

        Returns:
            Simulated seconds by which the clock moved.
        """
        wall_s = self._wall()
        passed_s = min(max(0.0, wall_s - self._last_s), self.longest_step_s) * self.speed
        self._last_s = wall_s
        self._clock.advance(passed_s)
        return passed_s

    def restart(self) -> None:
        """Count from now on: what passed on the wall since the last tick is left out."""
        self._last_s = self._wall()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the wall time until the end of the block, and before it since the last tick."""
        try:
            yield
        finally:
            self.restart()

    def wall_s_until(self, time_s: float) -> float:
        """Seconds on the wall until the simulated clock reads `time_s`; 0 when it is past."""
        return max(0.0, time_s - self._clock.now()) / self.speed
