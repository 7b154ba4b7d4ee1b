"""A continuous-wave laser: power, wavelength, linewidth, intensity noise, drift and mode hops."""

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive
from sim_backend.scene.light import (
    PHOTON_ENERGY_J,
    FloatArray,
    Light,
    Window,
    dark,
    frequency_offset_hz,
    horizontal,
)
from sim_backend.scene.slow import OrnsteinUhlenbeck, Settling, TimeSource

__all__ = ["LaserSettings", "LaserSource"]

_TURN = 2.0**32
_SETTLED_POWER = 1e-3
_SETTLED_WAVELENGTH_M = 1e-14


@dataclass(frozen=True, kw_only=True)
class LaserSettings:
    """A laser as its data sheet describes it.

    Args:
        power_w: power setpoint after switching on.
        wavelength_m: wavelength setpoint after switching on.
        linewidth_hz: Lorentzian full width at half maximum.
        intensity_noise_db_per_hz: relative intensity noise, one-sided and white over the band.
        power_settling_s: time constant of the power after emission on or a new setpoint.
        wavelength_settling_s: time constant of the wavelength after a new setpoint.
        frequency_drift_hz: root-mean-square slow frequency error around the setpoint.
        frequency_drift_time_s: correlation time of that error.
        mode_hop_rate_per_s: mean number of mode hops per second.
        mode_hop_hz: frequency step of a mode hop, up or down at random.
    """

    power_w: float = 10e-3
    wavelength_m: float = 1550.0e-9
    linewidth_hz: float = 10e3
    intensity_noise_db_per_hz: float = -150.0
    power_settling_s: float = 0.5
    wavelength_settling_s: float = 2.0
    frequency_drift_hz: float = 1e6
    frequency_drift_time_s: float = 600.0
    mode_hop_rate_per_s: float = 0.0
    mode_hop_hz: float = 5e9

    def __post_init__(self) -> None:
        check_between(self, "power_w", 0.0, 10.0, unit="W")
        check_between(self, "wavelength_m", 1.2e-6, 1.7e-6, unit="m")
        check_between(self, "linewidth_hz", 0.0, 1e9, unit="Hz")
        check_between(self, "intensity_noise_db_per_hz", -250.0, -80.0, unit="dB/Hz")
        check_between(self, "power_settling_s", 0.0, 1e4, unit="s")
        check_between(self, "wavelength_settling_s", 0.0, 1e4, unit="s")
        check_between(self, "frequency_drift_hz", 0.0, 1e12, unit="Hz")
        check_positive(self, "frequency_drift_time_s")
        check_between(self, "mode_hop_rate_per_s", 0.0, 1e6, unit="/s")
        check_between(self, "mode_hop_hz", 0.0, 1e13, unit="Hz")


class LaserSource:
    """The light of one laser, block by block, with a phase that is continuous over a shot.

    Phase: 2 pi f t plus a Wiener process of variance 2 pi linewidth t, which gives a Lorentzian
    line of that full width (Henry, IEEE J. Quantum Electron. 18, 259 (1982)). Power: P (1 + d),
    d white with variance RIN times half the sample rate.

    Attributes:
        settings: the data sheet; a fault may change it.
        unlocked: its own loop has lost the mode.

    Args:
        settings: the data sheet.
        rng: source of randomness, used by this laser alone.
        clock: simulated time.
    """

    def __init__(
        self, settings: LaserSettings, *, rng: np.random.Generator, clock: TimeSource
    ) -> None:
        self.settings = settings
        self.unlocked = False
        self._rng = rng
        self._emission = False
        self._power_setpoint_w = settings.power_w
        self._power = Settling(0.0, time_constant_s=settings.power_settling_s, clock=clock)
        self._wavelength = Settling(
            settings.wavelength_m, time_constant_s=settings.wavelength_settling_s, clock=clock
        )
        self._drift = OrnsteinUhlenbeck(
            settings.frequency_drift_hz, settings.frequency_drift_time_s, rng, settled=True
        )
        self._hops_hz = 0.0
        self._phase_rad = float(rng.uniform(0, 2 * math.pi))
        self._window = Window(start_s=0.0, rate_hz=1.0, samples=0)
        self._normals: FloatArray = np.empty(0, dtype=np.float32)
        self._count = np.empty(0, dtype=np.uint32)

    def set_emission(self, on: bool) -> None:
        """Switch the light on (it rises with the settling time) or off (at once)."""
        if on and not self._emission:
            self._power.jump(0.0)
            self._power.set(self._power_setpoint_w)
        if not on:
            self._power.jump(0.0)
        self._emission = on

    def emission(self) -> bool:
        """Whether light is emitted."""
        return self._emission

    def set_power_w(self, power_w: float) -> None:
        """New power setpoint in watts; takes effect when emission is on.

        Raises:
            ConfigurationError: negative or not a finite number.
        """
        if not (math.isfinite(power_w) and power_w >= 0):
            raise ConfigurationError(f"laser: power {power_w} W must be finite and not negative")
        self._power_setpoint_w = power_w
        if self._emission:
            self._power.set(power_w)

    def power_setpoint_w(self) -> float:
        """The power setpoint in watts."""
        return self._power_setpoint_w

    def power_w(self) -> float:
        """Mean emitted power now in watts, 0 with emission off."""
        return self._power.value() if self._emission else 0.0

    def set_wavelength_m(self, wavelength_m: float) -> None:
        """New wavelength setpoint in metres; clears mode hops as a fresh tuning does.

        Raises:
            ConfigurationError: not a finite number above 0.
        """
        if not (math.isfinite(wavelength_m) and wavelength_m > 0):
            raise ConfigurationError(f"laser: wavelength {wavelength_m} m must be finite and > 0")
        self._hops_hz = 0.0
        self._wavelength.set(wavelength_m)

    def wavelength_setpoint_m(self) -> float:
        """The wavelength setpoint in metres."""
        return self._wavelength.target

    def wavelength_m(self) -> float:
        """The wavelength that the laser's own etalon reports: settling seen, drift not."""
        return self._wavelength.value()

    def frequency_hz(self) -> float:
        """True optical frequency above that of the reference wavelength: drift and hops in."""
        return frequency_offset_hz(self._wavelength.value()) + self._drift.value + self._hops_hz

    def force_mode_hop(self) -> None:
        """Hop now by the step of the settings, up or down at random."""
        sign = 1.0 if self._rng.random() < 0.5 else -1.0
        self._hops_hz += sign * self.settings.mode_hop_hz

    def is_locked(self) -> bool:
        """Whether the laser is on its mode: no hop since the last tuning, and its loop holds."""
        return self._hops_hz == 0.0 and not self.unlocked

    def is_settled(self) -> bool:
        """Whether power and wavelength have reached their setpoints and the mode is kept."""
        if not self._emission:
            return False
        target = self._power_setpoint_w
        power_settled = abs(self._power.value() - target) <= _SETTLED_POWER * target
        wavelength_error = abs(self._wavelength.value() - self._wavelength.target)
        return power_settled and wavelength_error <= _SETTLED_WAVELENGTH_M and self.is_locked()

    def age(self, duration_s: float) -> None:
        """Let time pass for the drift and the mode hops."""
        self._drift.age(duration_s)
        rate = self.settings.mode_hop_rate_per_s
        if rate > 0 and self._emission:
            for _ in range(int(self._rng.poisson(rate * duration_s))):
                self.force_mode_hop()

    def begin(self, window: Window) -> None:
        """Start a shot. The phase is unknown after the time between shots."""
        self._window = window
        self._phase_rad = float(self._rng.uniform(0, 2 * math.pi))

    def block(self, samples: int) -> Light:
        """The next `samples` samples of light."""
        frequency_hz = self.frequency_hz()
        if self.power_w() == 0:
            return dark(samples)
        phase = self._phase(samples, frequency_hz)
        amplitude = self._amplitude(samples)
        field = np.empty(samples, dtype=np.complex64)
        np.multiply(np.cos(phase), amplitude, out=field.real)
        np.multiply(np.sin(phase), amplitude, out=field.imag)
        return Light(field=field, jones=horizontal(), carrier_hz=frequency_hz)

    def _draw(self, samples: int) -> FloatArray:
        if self._normals.size != samples:
            self._normals = np.empty(samples, dtype=np.float32)
        self._rng.standard_normal(dtype=np.float32, out=self._normals)
        return self._normals

    def _amplitude(self, samples: int) -> FloatArray | np.float32:
        mean = math.sqrt(self.power_w() / PHOTON_ENERGY_J)
        density = 10.0 ** (self.settings.intensity_noise_db_per_hz / 10)
        if self.settings.intensity_noise_db_per_hz <= -200:
            return np.float32(mean)
        # sqrt(1 + d) = 1 + d/2 for the small d of any laser in its steady state.
        amplitude = self._draw(samples)
        amplitude *= np.float32(mean * 0.5 * math.sqrt(density * self._window.rate_hz / 2))
        amplitude += np.float32(mean)
        return amplitude

    def _phase(self, samples: int, frequency_hz: float) -> FloatArray:
        """Phase of the samples, and its carry for the next block.

        The ramp is counted in 2^-32 turns with wrap-around: in float32 radians it would lose
        its digits within one block.
        """
        turns_per_sample = frequency_hz / self._window.rate_hz
        if self._count.size != samples:
            self._count = np.arange(samples, dtype=np.uint32)
        increment = round((turns_per_sample % 1.0) * _TURN) % int(_TURN)
        ramp = (self._count * np.uint32(increment)).view(np.int32)
        phase = ramp.astype(np.float32)
        phase *= np.float32(2 * math.pi / _TURN)
        carry = self._phase_rad
        self._phase_rad += 2 * math.pi * ((increment / _TURN * samples) % 1.0)
        if self.settings.linewidth_hz > 0:
            steps = self._draw(samples)
            steps *= np.float32(
                math.sqrt(2 * math.pi * self.settings.linewidth_hz * self._window.step_s)
            )
            walk = np.cumsum(steps, dtype=np.float32)
            self._phase_rad += float(walk[-1]) if samples else 0.0
            phase += walk
        self._phase_rad = math.remainder(self._phase_rad, 2 * math.pi)
        phase += np.float32(carry)
        return phase
