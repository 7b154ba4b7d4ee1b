"""The phase of an oscillator, held against the light by a phase shifter.

Owns the lock of one detector. The pilots' mean is m = A cos(light - shifter), A their amplitude.
Four settings a quarter turn apart give A and the phase of the light twice, and so how fast it
moves: the lock is acquired. After that every burst of data lies between two probes at the setting
where the pilots vanish, where m = A sin(error) shows the error at first order and the amplitude's
drift at none; the reference follows with a gain below 1, so that the phase noise of a probe is
averaged. Whatever moves more than the limit between two probes is refused: the quadrature of what
lies between is not known.

With one laser, an arm of the interferometer that is longer by the time t leaves a phase of variance
2 pi linewidth t at times above t, which no lock takes away (Armstrong, J. Opt. Soc. Am. 56, 1024
(1966), for a Lorentzian line).
"""

import cmath
import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError, PhaseError, TraceError
from drivers.instruments import PhaseDriver

__all__ = ["SEARCHES", "LockLimits", "PhaseLock"]

SEARCHES = 4
"""Probes of an acquisition, a quarter turn apart."""

_QUARTER = math.pi / 2
_SIGNIFICANCE = 5.0
_REMEMBERED = 64
_LEAST_REMEMBERED = 16


@dataclass(frozen=True, kw_only=True)
class LockLimits:
    """When a quadrature is no longer known.

    Args:
        largest_step_rad: largest error that a probe may find.
        largest_rms_rad: largest root-mean-square of the last errors.
        largest_uncertainty_rad: a probe that knows the phase less well is refused.
        largest_amplitude_change: of the pilots against their calibrated amplitude, relative.
        gain: share of a probe's error by which the reference moves, above 0, at most 1.
    """

    largest_step_rad: float = 0.2
    largest_rms_rad: float = 0.1
    largest_uncertainty_rad: float = 0.03
    largest_amplitude_change: float = 0.2
    gain: float = 0.8

    def __post_init__(self) -> None:
        for name in ("largest_step_rad", "largest_rms_rad", "largest_uncertainty_rad"):
            if not 0 < getattr(self, name) <= 0.5:
                raise ConfigurationError(
                    f"phase lock: {name} is {getattr(self, name)}, it must lie in (0, 0.5] rad: "
                    "beyond, a sine is no longer its angle"
                )
        if not 0 < self.gain <= 1:
            raise ConfigurationError(f"phase lock: gain is {self.gain}, it must lie in (0, 1]")


class PhaseLock:
    """Holds one detector's quadrature.

    Args:
        driver: of the phase shifter in the oscillator's path, with one channel; it answers when
            the shifter has settled.
        v_pi_v: voltage of a phase of pi.
        amplitude_v: calibrated amplitude of the pilots, in V; None takes what is found.
        limits: when to refuse.

    Raises:
        ConfigurationError: the driver does not reach a whole turn, or has more channels.
    """

    def __init__(
        self,
        driver: PhaseDriver,
        *,
        v_pi_v: float,
        amplitude_v: float | None,
        limits: LockLimits | None = None,
    ) -> None:
        reach = driver.limits.volts.highest
        if driver.limits.channels != 1 or not reach >= 2 * v_pi_v:
            raise ConfigurationError(
                f"{driver.name}: {driver.limits.channels} channels up to {reach:g} V; the lock "
                f"needs one that reaches a whole turn, 2 V_pi = {2 * v_pi_v:.3g} V"
            )
        self._driver, self._v_pi_v = driver, v_pi_v
        self._expected_v = amplitude_v
        self.limits = limits or LockLimits()
        self._reference_rad: float | None = None
        self._amplitude_v = 0.0
        self._errors: deque[float] = deque(maxlen=_REMEMBERED)
        self._searched: list[float] = []

    @property
    def name(self) -> str:
        """Name of the phase shifter, for messages."""
        return self._driver.name

    @property
    def is_acquired(self) -> bool:
        """Whether the phase of the light is known."""
        return self._reference_rad is not None

    @property
    def amplitude_v(self) -> float:
        """Amplitude of the pilots when the lock was acquired, in V."""
        return self._amplitude_v

    @property
    def residual_rad(self) -> float:
        """Root mean square of the last probes' errors, 0 before the first."""
        return math.sqrt(sum(one**2 for one in self._errors) / max(len(self._errors), 1))

    def forget(self) -> None:
        """The phase is no longer known, as after a failure."""
        self._reference_rad = None
        self._errors.clear()

    def search(self, index: int) -> None:
        """Set the phase of one of the `SEARCHES` probes of an acquisition."""
        self._set(_QUARTER * index)

    def take(self, index: int, mean_v: float, uncertainty_v: float) -> None:
        """The pilots' mean at that setting; with the last of them the lock is acquired.

        Args:
            index: as for `search`, in ascending order.
            mean_v: of the pilots.
            uncertainty_v: of that mean.

        Raises:
            PhaseError: too few photons to know the phase, or it moved during the search.
            TraceError: the pilots' amplitude is not as calibrated.
        """
        if index == 0:
            self._searched.clear()
        self._searched.append(mean_v)
        if index == SEARCHES - 1:
            self._acquire(uncertainty_v)

    def _acquire(self, uncertainty_v: float) -> None:
        """Amplitude and phase from the first and from the second pair of settings."""
        first, second, third, fourth = self._searched
        pairs = complex(first, second), complex(-third, -fourth)
        amplitude = (abs(pairs[0]) + abs(pairs[1])) / 2
        known = uncertainty_v / amplitude if amplitude > 0 else math.inf
        if not known <= self.limits.largest_uncertainty_rad:
            raise PhaseError(
                f"{self.name}: too few photons: the pilots of a probe, {amplitude:.3g} V, tell the "
                f"phase to {known:.2g} rad; the limit is {self.limits.largest_uncertainty_rad:g} "
                "rad: raise pilot_photons, or check that the light arrives"
            )
        moved = cmath.phase(pairs[1] * pairs[0].conjugate())
        limit = 2 * self.limits.largest_step_rad + _SIGNIFICANCE * known
        if not abs(moved) <= limit:
            raise PhaseError(
                f"{self.name}: the phase moved by {moved:+.3f} rad over two probes of the search; "
                f"the limit is {limit:.3f} rad: the drift is too fast to be held; use a narrower "
                "laser, oscillator and signal paths of more equal length, or fibres that lie "
                "quieter"
            )
        self._amplitude_v = amplitude
        self._check_amplitude()
        self._reference_rad = cmath.phase(pairs[1])

    def hold(self, *, on_p: bool) -> None:
        """Set the quadrature in phase with the pilots, X, or the other, P.

        Raises:
            PhaseError: the lock is not acquired.
        """
        self._set(self._known_rad() + (_QUARTER if on_p else 0.0))

    def track(self, mean_v: float, uncertainty_v: float) -> float:
        """Follow the light by the pilots' mean at P.

        Args:
            mean_v: of the pilots with the shifter at P.
            uncertainty_v: of that mean.

        Returns:
            The error that was found, in rad.

        Raises:
            PhaseError: too few photons, or the phase moved too far since the last probe.
        """
        reference = self._known_rad()
        known = uncertainty_v / self._amplitude_v
        if not known <= self.limits.largest_uncertainty_rad:
            raise PhaseError(
                f"{self.name}: too few photons: a probe tells the phase to {known:.2g} rad; the "
                f"limit is {self.limits.largest_uncertainty_rad:g} rad: raise pilot_photons"
            )
        error = self._angle(mean_v)
        self._check_step(error, known)
        self._errors.append(error)
        rms = self.residual_rad
        if len(self._errors) >= _LEAST_REMEMBERED and not rms <= self.limits.largest_rms_rad:
            raise PhaseError(
                f"{self.name}: the phase is held to {rms:.3f} rad only over the last "
                f"{len(self._errors)} probes; the limit is {self.limits.largest_rms_rad:g} rad: "
                "use a narrower laser, oscillator and signal paths of more equal length, or "
                "fibres that lie quieter"
            )
        self._reference_rad = reference + self.limits.gain * error
        return error

    def check(self, mean_v: float, uncertainty_v: float, *, on_p: bool) -> None:
        """Refuse a burst of data that was not recorded in its quadrature.

        Args:
            mean_v: of the burst's own pilots.
            uncertainty_v: of that mean.
            on_p: the quadrature that was set.

        Raises:
            PhaseError: the pilots stand at another phase.
        """
        known = uncertainty_v / self._amplitude_v
        if on_p:
            self._check_step(self._angle(mean_v), known)
            return
        # A cosine says little of a small angle: the probes on both sides of the burst do.
        share, change = mean_v / self._amplitude_v, self.limits.largest_amplitude_change
        least = (1 - change) * math.cos(self.limits.largest_step_rad) - _SIGNIFICANCE * known
        most = 1 + change + _SIGNIFICANCE * known
        if not least <= share <= most:
            raise PhaseError(
                f"{self.name}: the pilots of a burst in X stand at {share:.3f} of their amplitude; "
                f"the limits are {least:.3f} and {most:.3f}: the phase has jumped, or the light "
                "has changed since the lock was acquired"
            )

    def _angle(self, mean_v: float) -> float:
        return math.asin(min(max(mean_v / self._amplitude_v, -1.0), 1.0))

    def _check_step(self, error_rad: float, known_rad: float) -> None:
        limit = self.limits.largest_step_rad + _SIGNIFICANCE * known_rad
        if not abs(error_rad) <= limit:
            raise PhaseError(
                f"{self.name}: the phase moved by {error_rad:+.3f} rad since the last probe; the "
                f"limit is {limit:.3f} rad: the drift is too fast to be held; calm the fibres, or "
                "shorten the time between bursts"
            )

    def _check_amplitude(self) -> None:
        if self._expected_v is None:
            return
        change = self._amplitude_v / self._expected_v - 1
        if not abs(change) <= self.limits.largest_amplitude_change:
            raise TraceError(
                f"{self.name}: the pilots' amplitude is {self._amplitude_v:.4g} V, "
                f"{change * 100:+.1f} % from its calibration; the limit is "
                f"{self.limits.largest_amplitude_change * 100:g} %: check losses, polarisation and "
                "modulator bias, and that the laser is narrow enough for the length of the path"
            )

    def _known_rad(self) -> float:
        if self._reference_rad is None:
            raise PhaseError(
                f"{self.name}: the phase of the light is not known; acquire the lock first"
            )
        return self._reference_rad

    def _set(self, phase_rad: float) -> None:
        turned = phase_rad % (2 * math.pi)
        self._driver.set_voltages(np.array([turned / math.pi * self._v_pi_v]))
