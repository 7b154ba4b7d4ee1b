"""The part behind a bias controller's channel: a modulator's electrode and its dither loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.errors import ConfigurationError
from drivers.instruments import BiasPoint, Range
from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.modulators import MachZehnder

__all__ = ["BiasPart", "BiasSettings"]

_TARGETS_RAD: Final = {
    BiasPoint.NULL: 0.0,
    BiasPoint.QUADRATURE: math.pi / 2,
    BiasPoint.PEAK: math.pi,
}


@dataclass(frozen=True, kw_only=True)
class BiasSettings:
    """A dither loop as its data sheet describes it.

    Args:
        dither_v: amplitude of the dither.
        residual_rad: root-mean-square error of the modulator's phase while locked.
        time_constant_s: of the loop.
        acquisition_s: from the order to lock until the loop says that it holds.
        least_light_w: power into the modulator below which the loop sees nothing.
    """

    dither_v: float = 0.05
    residual_rad: float = 2e-3
    time_constant_s: float = 0.05
    acquisition_s: float = 1.0
    least_light_w: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("dither_v", "time_constant_s"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"bias controller: {name} must be above 0")
        for name in ("residual_rad", "acquisition_s", "least_light_w"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"bias controller: {name} must be at least 0")


@dataclass(kw_only=True)
class _Loop:
    """A running loop: its point, and since when it has seen light without a break."""

    target_rad: float
    since_s: float
    lost: bool = False


class BiasPart:
    """The bias electrode of one modulator with a dither loop, which follows the modulator's drift.

    The dither itself is too small and slow to be seen in a burst, and is not played into the scene;
    loop and monitor see the modulator with its drive at rest.

    Attributes:
        modulator: component of the scene.
        settings: of the loop; may be replaced at any time.
        volts: what the controller's output can give; the loop jumps by a period where it would
            run out of it.

    Args:
        modulator: component of the scene.
        light_w: power into the modulator now, in W.
        clock: simulated time; the loop runs while it passes.
        rng: source of the residual noise.
        fault: what is wrong with the controller now.
        volts: as the attribute.
        settings: the data sheet.
    """

    def __init__(
        self,
        modulator: MachZehnder,
        *,
        light_w: Callable[[], float],
        clock: SimulatedClock,
        rng: np.random.Generator,
        fault: FaultFinder,
        volts: Range,
        settings: BiasSettings | None = None,
    ) -> None:
        self.modulator = modulator
        self.settings = BiasSettings() if settings is None else settings
        self.volts = volts
        self._light_w = light_w
        self._clock = clock
        self._rng = rng
        self._fault = fault
        self._loop: _Loop | None = None
        clock.on_advance(self._follow)

    @property
    def voltage_v(self) -> float:
        """Voltage on the bias electrode."""
        return self.modulator.bias_v

    @voltage_v.setter
    def voltage_v(self, volts: float) -> None:
        self.modulator.bias_v = volts

    def tap_power_w(self) -> float:
        """Light behind the modulator now in W, as a monitor photodiode would see all of it."""
        return self._light_w() * self.modulator.transmission(0.0)

    def lock(self, target: BiasPoint) -> None:
        """Start the loop towards a point, anew if it runs."""
        self._loop = _Loop(target_rad=_TARGETS_RAD[target], since_s=self._clock.now())

    def unlock(self) -> None:
        """Stop the loop; the voltage stays."""
        self._loop = None

    def is_locked(self) -> bool:
        """Whether the loop holds: it has run in light for its acquisition time, and not let go."""
        loop = self._loop
        if loop is None or loop.lost:
            return False
        return self._clock.now() - loop.since_s >= self.settings.acquisition_s

    def _follow(self, duration_s: float) -> None:
        """Let the loop run for a step of the clock."""
        loop = self._loop  # another thread may start or stop it
        if loop is None:
            return
        loop.lost = loop.lost or self._fault(FaultKind.BIAS_UNLOCK) is not None
        if loop.lost:
            return
        if self._light_w() < self.settings.least_light_w:
            # Nothing to lock to: the acquisition begins anew when the light is back.
            loop.since_s = self._clock.now()
            return
        self._correct(loop.target_rad, duration_s)

    def _correct(self, target_rad: float, duration_s: float) -> None:
        """Move the bias towards its point: an exponential approach with stationary noise."""
        modulator, settings = self.modulator, self.settings
        error_rad = math.remainder(self._dither_phase() - target_rad, 2 * math.pi)
        kept = math.exp(-duration_s / settings.time_constant_s)
        noise_rad = settings.residual_rad * math.sqrt(1 - kept**2)
        left_rad = error_rad * kept + noise_rad * float(self._rng.standard_normal())
        per_rad_v = modulator.settings.bias_half_wave_v / math.pi
        wanted_v = modulator.bias_v + (left_rad - error_rad) * per_rad_v
        period_v = 2 * modulator.settings.bias_half_wave_v
        if wanted_v > self.volts.highest:
            wanted_v -= period_v
        elif wanted_v < self.volts.lowest:
            wanted_v += period_v
        if wanted_v in self.volts:
            modulator.bias_v = wanted_v

    def _dither_phase(self) -> float:
        """Phase of the modulator from the two harmonics of the dithered power, 0 at its null.

        With T = A - B cos(phi): T(+d) - T(-d) = 2 B sin(phi) sin(d) and
        T(+d) + T(-d) - 2 T(0) = 2 B cos(phi) (1 - cos(d)) for a dither of phase d: the sum
        formulas of the cosine, exact for a Mach-Zehnder of any extinction.
        """
        middle_v = self.modulator.bias_v
        dither_v = self.settings.dither_v
        below, middle, above = (
            self._transmission(middle_v + step * dither_v) for step in (-1, 0, 1)
        )
        dither_rad = math.pi * dither_v / self.modulator.settings.bias_half_wave_v
        sine = (above - below) / (2 * math.sin(dither_rad))
        cosine = (above + below - 2 * middle) / (2 * (1 - math.cos(dither_rad)))
        return math.atan2(sine, cosine)

    def _transmission(self, bias_v: float) -> float:
        held_v = self.modulator.bias_v
        self.modulator.bias_v = bias_v
        try:
            return self.modulator.transmission(0.0)
        finally:
            self.modulator.bias_v = held_v
