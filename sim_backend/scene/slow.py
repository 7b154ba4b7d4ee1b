"""Slow states of components: settling of setpoints, drifts and random walks of simulated time."""

import math
from typing import Protocol

import numpy as np

__all__ = ["NoClock", "OrnsteinUhlenbeck", "RandomWalk", "Settling", "TimeSource"]


class TimeSource(Protocol):
    """Anything that tells the time in seconds."""

    def now(self) -> float:
        """Monotonic seconds."""


class NoClock:
    """Time that stands still, for components without settling."""

    def now(self) -> float:
        """Always 0 s."""
        return 0.0


class Settling:
    """A quantity that follows its setpoint exponentially in simulated time.

    value(t) = target + (value(t0) - target) exp(-(t - t0)/tau).

    Args:
        value: value and setpoint at the start.
        time_constant_s: tau in seconds; 0 follows at once.
        clock: the time.
    """

    def __init__(self, value: float, *, time_constant_s: float, clock: TimeSource) -> None:
        self._clock = clock
        self._time_constant_s = time_constant_s
        self._from = value
        self._target = value
        self._since_s = clock.now()

    @property
    def target(self) -> float:
        """The setpoint."""
        return self._target

    def value(self) -> float:
        """The quantity now."""
        if self._time_constant_s == 0:
            return self._target
        elapsed = self._clock.now() - self._since_s
        return self._target + (self._from - self._target) * math.exp(
            -elapsed / self._time_constant_s
        )

    def set(self, target: float) -> None:
        """Start moving towards a new setpoint from where the quantity is now."""
        self._from = self.value()
        self._target = target
        self._since_s = self._clock.now()

    def jump(self, value: float) -> None:
        """Be at a value at once."""
        self._from = self._target = value
        self._since_s = self._clock.now()


class OrnsteinUhlenbeck:
    """A stationary drift: rms and correlation time (Phys. Rev. 36, 823 (1930)), exact in steps.

    Args:
        rms: standard deviation in the steady state; 0 switches the drift off.
        correlation_time_s: time in which the correlation falls to 1/e, above 0.
        rng: source of randomness.
        settled: start from the steady state rather than from 0.
    """

    def __init__(
        self,
        rms: float,
        correlation_time_s: float,
        rng: np.random.Generator,
        *,
        settled: bool = False,
    ) -> None:
        self._rms = rms
        self._correlation_time_s = correlation_time_s
        self._rng = rng
        self.value = rms * float(rng.standard_normal()) if settled and rms > 0 else 0.0

    def age(self, duration_s: float) -> None:
        """Let time pass."""
        if self._rms == 0 or duration_s == 0:
            return
        steps = duration_s / self._correlation_time_s
        innovation = self._rms * math.sqrt(-math.expm1(-2 * steps))
        self.value = self.value * math.exp(-steps) + innovation * float(self._rng.standard_normal())


class RandomWalk:
    """A Wiener process with variance rate^2 t.

    Args:
        rate_per_sqrt_s: standard deviation after one second.
        rng: source of randomness.
    """

    def __init__(self, rate_per_sqrt_s: float, rng: np.random.Generator) -> None:
        self._rate = rate_per_sqrt_s
        self._rng = rng
        self.value = 0.0

    def age(self, duration_s: float) -> None:
        """Let time pass."""
        if self._rate > 0 and duration_s > 0:
            self.value += self._rate * math.sqrt(duration_s) * float(self._rng.standard_normal())
