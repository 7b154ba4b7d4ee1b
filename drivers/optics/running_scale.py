"""The shot-noise unit of a run: every burst's own vacuum slots, pooled with those just before.

One burst knows its unit to the root of 1/(vacuum slots), which is worse than what a block's data
could tell. The unit moves slowly, so the last bursts and the calibration are pooled, each with the
weight of its own uncertainty. The same bursts tell when the unit has moved too far: windows that
double in length compare it with the calibration, a short one for large steps, a long one for small.
"""

from collections import deque

import numpy as np

from drivers.errors import DriftError
from drivers.optics.shot_noise import ShotNoise

__all__ = ["SCALE_UNCERTAINTY", "SHOT_NOISE_LIMIT", "RunningScale"]

SCALE_UNCERTAINTY = 5e-3
"""Relative uncertainty of the unit before any burst: the oscillator drifts since calibration."""

SHOT_NOISE_LIMIT = 0.01
"""Largest relative deviation of the shot noise from its calibration."""

# One-sided 1e-9 per window, beyond half the limit that the calibration itself may be wrong by.
_SIGNIFICANCE = 6.0


class RunningScale:
    """Pooled shot-noise unit of one detector.

    Args:
        calibrated_v2: N0 of the calibration, V^2.
        relative_uncertainty: how well the calibration still holds: its own uncertainty and the
            oscillator's drift since.
        bursts: how many bursts count as "just before".
        watched_bursts: how many bursts the longest window holds.
        instrument: name for messages.
    """

    def __init__(
        self,
        calibrated_v2: float,
        *,
        relative_uncertainty: float = SCALE_UNCERTAINTY,
        bursts: int = 16,
        watched_bursts: int = 1024,
        instrument: str = "receiver",
    ) -> None:
        self._calibrated = calibrated_v2
        self._weight = 1 / (relative_uncertainty * calibrated_v2) ** 2
        self._recent: deque[ShotNoise] = deque(maxlen=bursts)
        self._watched: deque[ShotNoise] = deque(maxlen=watched_bursts)
        self._instrument = instrument

    def factor(self, found: ShotNoise) -> float:
        """Amplitude factor from the burst's own unit to the pooled one; the burst is remembered.

        Args:
            found: the burst's own measurement.
        """
        self._recent.append(found)
        self._watched.append(found)
        return float((found.shot / self.shot_noise_v2) ** 0.5)

    def check(self, found: ShotNoise) -> None:
        """Refuse a burst with which the shot noise is too far from its calibration.

        The last 1, 2, 4 ... bursts are pooled. With N vacuum slots the standard deviation s is
        about N^-1/2, and a deviation above the larger of `SHOT_NOISE_LIMIT` and half of it plus
        6 s is refused: 12 % at once with 3,000 slots, 2 % after 1.6e5 of them, or 3e5 where the
        calibration was off by 0.4 % to the other side.

        Args:
            found: the burst's own measurement; it is not remembered.

        Raises:
            DriftError: the oscillator's power or the detector's gain has changed; says over how
                many bursts.
        """
        newest = (found, *reversed(self._watched))
        slots = np.cumsum([one.vacuum_slots for one in newest], dtype=np.float64)
        sums = np.cumsum([one.vacuum_slots * one.shot for one in newest])
        spread = np.sqrt(np.cumsum([(one.vacuum_slots * one.uncertainty) ** 2 for one in newest]))
        window = 1
        while window <= len(newest):
            pooled = float(slots[window - 1])
            deviation = float(sums[window - 1]) / pooled / self._calibrated - 1
            chance = _SIGNIFICANCE * float(spread[window - 1]) / pooled / self._calibrated
            limit = max(SHOT_NOISE_LIMIT, SHOT_NOISE_LIMIT / 2 + chance)
            if not abs(deviation) <= limit:
                raise DriftError(
                    f"{self._instrument}: shot noise is {deviation * 100:+.2f} % from its "
                    f"calibration at {self._calibrated:.4g} V^2 over the last {window} bursts "
                    f"({pooled:.3g} vacuum slots); the limit is {limit * 100:.2f} %: the "
                    "oscillator's power or the detector's gain has changed, check and calibrate "
                    "again",
                    earlier=window - 1,
                )
            window *= 2

    def forget(self) -> None:
        """Begin anew from the calibration, as after a failure."""
        self._recent.clear()
        self._watched.clear()

    @property
    def shot_noise_v2(self) -> float:
        """Pooled N0, V^2."""
        # The uncertainty that all bursts would share is used: their own scatter would favour
        # those that came out low.
        weights = [one.vacuum_slots / self._calibrated**2 for one in self._recent]
        total = self._weight + sum(weights)
        values = sum(weight * one.shot for weight, one in zip(weights, self._recent, strict=True))
        return (self._weight * self._calibrated + values) / total

    @property
    def relative_uncertainty(self) -> float:
        """Standard deviation of the pooled N0 relative to it."""
        slots = sum(one.vacuum_slots for one in self._recent)
        return float((self._weight * self._calibrated**2 + slots) ** -0.5)
