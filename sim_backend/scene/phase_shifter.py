"""The phase shifter in an oscillator's path, by which a homodyne detector picks its quadrature."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive
from sim_backend.scene.light import Light
from sim_backend.scene.slow import NoClock, Settling, TimeSource

__all__ = ["PhaseShifter", "PhaseShifterSettings"]


@dataclass(frozen=True, kw_only=True)
class PhaseShifterSettings:
    """An electro-optic phase shifter: its phase is proportional to the voltage.

    Args:
        half_wave_v: voltage of a phase of pi.
        insertion_loss_db: loss, the same at every phase.
        error_rad: standard deviation of the phase at every new voltage, hysteresis included.
        settling_s: time constant of the phase after a new voltage.
    """

    half_wave_v: float = 4.0
    insertion_loss_db: float = 1.0
    error_rad: float = 2e-3
    settling_s: float = 1e-5

    def __post_init__(self) -> None:
        check_positive(self, "half_wave_v")
        check_between(self, "insertion_loss_db", 0.0, 60.0, unit="dB")
        check_between(self, "error_rad", 0.0, 1.0, unit="rad")
        check_between(self, "settling_s", 0.0, 1e3, unit="s")


class PhaseShifter:
    """Multiplies the field by sqrt(L) exp(i (pi V/V_pi + error)).

    Attributes:
        channels: number of shifters: 1.

    Args:
        settings: the data sheet.
        rng: draws the error of every new voltage.
        clock: simulated time; without one the phase follows at once.
    """

    channels = 1

    def __init__(
        self,
        settings: PhaseShifterSettings,
        *,
        rng: np.random.Generator,
        clock: TimeSource | None = None,
    ) -> None:
        self.settings = settings
        self._rng = rng
        self._volts = 0.0
        self._phase_rad = Settling(
            0.0, time_constant_s=settings.settling_s if clock else 0.0, clock=clock or NoClock()
        )

    def set_voltages(self, voltages_v: NDArray[np.float64]) -> None:
        """Set the voltage.

        Args:
            voltages_v: volts, shape (1,).

        Raises:
            ConfigurationError: another shape, or not finite.
        """
        if voltages_v.shape != (1,) or not np.isfinite(voltages_v).all():
            raise ConfigurationError(
                f"phase shifter: one finite voltage is needed, got shape {voltages_v.shape}"
            )
        self._volts = float(voltages_v[0])
        error = self.settings.error_rad * float(self._rng.standard_normal())
        self._phase_rad.set(math.pi * self._volts / self.settings.half_wave_v + error)

    def voltages(self) -> NDArray[np.float64]:
        """The voltage in volts, shape (1,)."""
        return np.array([self._volts])

    def phase_rad(self) -> float:
        """True phase now, in radians."""
        return self._phase_rad.value()

    def transmission(self) -> float:
        """Power transmission."""
        return float(10.0 ** (-self.settings.insertion_loss_db / 10))

    def block(self, light: Light) -> Light:
        """Shift a block; the phase stands still within it."""
        phase = self.phase_rad()
        amplitude = math.sqrt(self.transmission())
        return light.scaled(complex(amplitude * math.cos(phase), amplitude * math.sin(phase)))
