"""The simulated bias controller: dither loops that hold modulators of the scene at their points."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.errors import ConfigurationError
from drivers.instruments import BiasController, BiasLimits, BiasPoint, Range
from sim_backend.instruments.faults import FaultKind
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.modulators import MachZehnder

__all__ = ["BIAS_LIMITS", "BiasSettings", "SimulatedBiasController"]

BIAS_LIMITS = BiasLimits(channels=1, volts=Range(lowest=-10.0, highest=10.0))

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


class SimulatedBiasController(SimulatedInstrument, BiasController):
    """Bias voltages with a dither loop each, which follows the drift of its modulator.

    The dither itself is too small and slow to be seen in a burst, and is not played into the scene;
    the loop sees the modulator with its drive at rest.

    Args:
        name: role in the bench.
        limits: what may be set; as many channels as there are modulators.
        remote: link to the instrument.
        modulators: component of the scene per channel.
        light_w: power into the modulators now, in W.
        settings: the data sheet.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: BiasLimits,
        remote: RemoteControl,
        modulators: Sequence[MachZehnder],
        light_w: Callable[[], float],
        settings: BiasSettings | None = None,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        if len(modulators) != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {len(modulators)} modulators; give one "
                "channel to each"
            )
        self._remote = remote
        self._modulators = tuple(modulators)
        self._light_w = light_w
        self._settings = BiasSettings() if settings is None else settings
        self._running: dict[int, _Loop] = {}
        remote.clock.on_advance(self._follow)

    def _set_voltage(self, channel: int, volts: float) -> None:
        if self._remote.takes():
            self._modulators[channel].bias_v = volts

    def _get_voltage(self, channel: int) -> float:
        self._remote.ask()
        return self._modulators[channel].bias_v

    def _lock_to(self, channel: int, point: BiasPoint) -> None:
        if self._remote.takes():
            self._running[channel] = _Loop(
                target_rad=_TARGETS_RAD[point], since_s=self._remote.clock.now()
            )

    def _is_locked(self, channel: int) -> bool:
        self._remote.ask()
        loop = self._running.get(channel)
        if loop is None or loop.lost:
            return False
        return self._remote.clock.now() - loop.since_s >= self._settings.acquisition_s

    def _unlock(self, channel: int) -> None:
        if self._remote.takes():
            self._running.pop(channel, None)

    def _follow(self, duration_s: float) -> None:
        """Let all loops run for a step of the clock."""
        unlocked = self._remote.fault(FaultKind.BIAS_UNLOCK) is not None
        dark = self._light_w() < self._settings.least_light_w
        for channel, loop in tuple(self._running.items()):  # another thread may start one
            loop.lost = loop.lost or unlocked
            if loop.lost:
                continue
            if dark:  # nothing to lock to: the acquisition begins anew when the light is back
                loop.since_s = self._remote.clock.now()
                continue
            self._correct(channel, loop.target_rad, duration_s)

    def _correct(self, channel: int, target_rad: float, duration_s: float) -> None:
        """Move a bias towards its point: an exponential approach with stationary residual noise."""
        modulator, settings = self._modulators[channel], self._settings
        error_rad = math.remainder(self._dither_phase(modulator) - target_rad, 2 * math.pi)
        kept = math.exp(-duration_s / settings.time_constant_s)
        noise_rad = settings.residual_rad * math.sqrt(1 - kept**2)
        left_rad = error_rad * kept + noise_rad * float(self._remote.rng.standard_normal())
        per_rad_v = modulator.settings.bias_half_wave_v / math.pi
        wanted_v = modulator.bias_v + (left_rad - error_rad) * per_rad_v
        period_v = 2 * modulator.settings.bias_half_wave_v
        volts = self._limits.volts
        if wanted_v > volts.highest:
            wanted_v -= period_v
        elif wanted_v < volts.lowest:
            wanted_v += period_v
        if wanted_v in volts:
            modulator.bias_v = wanted_v

    def _dither_phase(self, modulator: MachZehnder) -> float:
        """Phase of the modulator from the two harmonics of the dithered power, 0 at its null.

        With T = A - B cos(phi): T(+d) - T(-d) = 2 B sin(phi) sin(d) and
        T(+d) + T(-d) - 2 T(0) = 2 B cos(phi) (1 - cos(d)) for a dither of phase d: the sum
        formulas of the cosine, exact for a Mach-Zehnder of any extinction.
        """
        middle_v = modulator.bias_v
        dither_v = self._settings.dither_v
        below, middle, above = (
            self._transmission(modulator, middle_v + step * dither_v) for step in (-1, 0, 1)
        )
        dither_rad = math.pi * dither_v / modulator.settings.bias_half_wave_v
        sine = (above - below) / (2 * math.sin(dither_rad))
        cosine = (above + below - 2 * middle) / (2 * (1 - math.cos(dither_rad)))
        return math.atan2(sine, cosine)

    @staticmethod
    def _transmission(modulator: MachZehnder, bias_v: float) -> float:
        held_v = modulator.bias_v
        modulator.bias_v = bias_v
        try:
            return modulator.transmission(0.0)
        finally:
            modulator.bias_v = held_v
