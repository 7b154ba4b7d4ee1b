"""A phase-insensitive optical amplifier: gain, the noise that it must add, and its seed."""

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive
from sim_backend.scene.light import PHOTON_ENERGY_J, Light, Window, photon_flux
from sim_backend.scene.streaming import FieldFilter, low_pass_taps

__all__ = ["OpticalAmplifierModel", "OpticalAmplifierSettings"]


@dataclass(frozen=True, kw_only=True)
class OpticalAmplifierSettings:
    """An amplifier as its data sheet describes it.

    Args:
        highest_gain_db: largest gain setpoint.
        inversion: spontaneous-emission factor n_sp, 1 for full inversion.
        unpumped_loss_db: loss of the medium without pump.
        seed_power_w: input below which a pumped amplifier is in danger of a giant pulse.
        saturation_power_w: output that the pump can just deliver.
        filter_bandwidth_hz: full width of the optical filter behind the amplifier, around the
            signal; it passes the signal whole and bounds the noise. A receiver that beats at f_IF
            also hears the noise 2 f_IF away from the signal unless a filter takes it out.
    """

    highest_gain_db: float = 20.0
    inversion: float = 1.0
    unpumped_loss_db: float = 10.0
    seed_power_w: float = 1e-9
    saturation_power_w: float = 100e-3
    filter_bandwidth_hz: float = 400e6

    def __post_init__(self) -> None:
        check_between(self, "highest_gain_db", 0.0, 60.0, unit="dB")
        check_between(self, "inversion", 1.0, 100.0)
        check_between(self, "unpumped_loss_db", 0.0, 100.0, unit="dB")
        check_between(self, "seed_power_w", 0.0, 10.0, unit="W")
        check_positive(self, "saturation_power_w", "filter_bandwidth_hz")


class OpticalAmplifierModel:
    """E_out = sqrt(G) E_in + n, n complex Gaussian of (G - 1) n_sp photons per mode of one sample.

    Within the filter, n has (G - 1) n_sp photons per second and hertz. In normal order that is
    all of the amplifier's noise: the quadrature variance at the detector becomes
    G + (G - 1)(2 n_sp - 1) for a coherent input (Caves, Phys. Rev. D 26, 1817 (1982)).

    Attributes:
        pump: whether the pump is on; without it the medium absorbs.
        unseeded: latched when the pump was on at a block below the seed power.

    Args:
        settings: the data sheet.
        rng: source of noise.
    """

    def __init__(self, settings: OpticalAmplifierSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self.pump = False
        self.unseeded = False
        self._rng = rng
        self._gain_db = 0.0
        self._rate_hz = 1.0
        self._filter: FieldFilter | None = None

    def set_gain_db(self, gain_db: float) -> None:
        """New gain in dB.

        Raises:
            ConfigurationError: outside [0, highest] or not a number.
        """
        if not 0 <= gain_db <= self.settings.highest_gain_db:
            raise ConfigurationError(
                f"amplifier: gain {gain_db} dB is outside 0..{self.settings.highest_gain_db:g} dB"
            )
        self._gain_db = gain_db

    def gain_db(self) -> float:
        """The gain setpoint in dB."""
        return self._gain_db

    def gain(self, input_power_w: float = 0.0) -> float:
        """Power gain now; less than the setpoint where the output would saturate.

        Args:
            input_power_w: mean input; the gain is held so that the output stays below the
                saturation power.
        """
        if not self.pump:
            return float(10.0 ** (-self.settings.unpumped_loss_db / 10))
        gain = float(10.0 ** (self._gain_db / 10))
        if input_power_w * gain <= self.settings.saturation_power_w:
            return gain
        return max(1.0, self.settings.saturation_power_w / input_power_w)

    def begin(self, window: Window) -> None:
        """Start a shot."""
        self._rate_hz = window.rate_hz
        narrowing = self.settings.filter_bandwidth_hz / window.rate_hz
        self._filter = FieldFilter(low_pass_taps(narrowing)) if narrowing < 1 else None

    def block(self, light: Light, *, seed_power_w: float | None = None) -> Light:
        """Amplify a block.

        Args:
            light: what enters.
            seed_power_w: light that the input monitor sees in other bands; the block's own mean
                power is added.
        """
        mean_w = 0.0
        if light.field.size:
            mean_w = float(np.mean(photon_flux(light.field), dtype=np.float64)) * PHOTON_ENERGY_J
        if self.pump and mean_w + (seed_power_w or 0.0) < self.settings.seed_power_w:
            self.unseeded = True
        gain = self.gain(mean_w)
        amplified = light.field * np.complex64(math.sqrt(gain))
        noise_flux = max(0.0, gain - 1) * self.settings.inversion * self._rate_hz
        if noise_flux > 0:
            noise = self._rng.standard_normal(2 * amplified.size, dtype=np.float32)
            noise *= np.float32(math.sqrt(noise_flux / 2))
            added = noise.view(np.complex64)
            amplified += added if self._filter is None else self._filter.block(added)
        return light.with_field(amplified)
