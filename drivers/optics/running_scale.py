"""The shot-noise unit of a run: every burst's own vacuum slots, pooled with those just before.

One burst knows its unit to the root of 1/(vacuum slots), which is worse than what a block's data
could tell. The unit moves slowly, so the last bursts and the calibration are pooled, each with the
weight of its own uncertainty.
"""

from collections import deque

from drivers.optics.shot_noise import ShotNoise

__all__ = ["SCALE_UNCERTAINTY", "RunningScale"]

SCALE_UNCERTAINTY = 5e-3
"""Relative uncertainty of the unit before any burst: the oscillator drifts since calibration."""


class RunningScale:
    """Pooled shot-noise unit of one detector.

    Args:
        calibrated_v2: N0 of the calibration, V^2.
        relative_uncertainty: how well the calibration still holds: its own uncertainty and the
            oscillator's drift since.
        bursts: how many bursts count as "just before".
    """

    def __init__(
        self,
        calibrated_v2: float,
        *,
        relative_uncertainty: float = SCALE_UNCERTAINTY,
        bursts: int = 16,
    ) -> None:
        self._calibrated = calibrated_v2
        self._weight = 1 / (relative_uncertainty * calibrated_v2) ** 2
        self._recent: deque[ShotNoise] = deque(maxlen=bursts)

    def factor(self, found: ShotNoise) -> float:
        """Amplitude factor from the burst's own unit to the pooled one; the burst is remembered.

        Args:
            found: the burst's own measurement.
        """
        self._recent.append(found)
        return float((found.shot / self.shot_noise_v2) ** 0.5)

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
