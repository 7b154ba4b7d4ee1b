"""Balanced detectors and power-meter heads: where light becomes numbers and gets its shot noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive
from sim_backend.scene.light import (
    ELEMENTARY_CHARGE_C,
    PHOTON_ENERGY_J,
    FloatArray,
    Light,
    Window,
    photon_flux,
)
from sim_backend.scene.polarisation import overlap
from sim_backend.scene.streaming import FieldFilter, OnePole, gaussian_taps

__all__ = ["BalancedDetector", "BalancedDetectorSettings", "PowerHead", "PowerHeadSettings"]


@dataclass(frozen=True, kw_only=True)
class BalancedDetectorSettings:
    """Two photodiodes, subtracted and amplified.

    Args:
        efficiency: electrons per photon, in (0, 1].
        mode_match: amplitude overlap of signal and oscillator but for polarisation, in (0, 1].
        common_mode_rejection_db: 20 log10 of total over residual difference current.
        transimpedance_v_per_a: volts per ampere of difference current.
        electronic_noise_v_per_sqrt_hz: output noise density, one-sided.
        dark_current_a: of both diodes together.
        bandwidth_hz: half-power bandwidth.
        response: "one_pole" or "gaussian" (linear phase, delayed by its half length).
        saturation_current_a: largest difference current.
        saturation: "soft" follows I_s tanh(I/I_s), "hard" stops at I_s.
        damage_power_w: total light that destroys the diodes.
    """

    efficiency: float = 0.85
    mode_match: float = 0.98
    common_mode_rejection_db: float = 50.0
    transimpedance_v_per_a: float = 1e4
    electronic_noise_v_per_sqrt_hz: float = 2.5e-8
    dark_current_a: float = 5e-9
    bandwidth_hz: float = 1.6e9
    response: Literal["one_pole", "gaussian"] = "one_pole"
    saturation_current_a: float = 500e-6
    saturation: Literal["soft", "hard"] = "soft"
    damage_power_w: float = 20e-3

    def __post_init__(self) -> None:
        check_positive(self, "efficiency", "mode_match", "transimpedance_v_per_a", "bandwidth_hz")
        check_between(self, "efficiency", 0.0, 1.0)
        check_between(self, "mode_match", 0.0, 1.0)
        check_between(self, "common_mode_rejection_db", 0.0, 200.0, unit="dB")
        check_between(self, "electronic_noise_v_per_sqrt_hz", 0.0, 1.0, unit="V/sqrt(Hz)")
        check_between(self, "dark_current_a", 0.0, 1.0, unit="A")
        check_positive(self, "saturation_current_a", "damage_power_w")
        if self.response not in ("one_pole", "gaussian"):
            raise ConfigurationError(
                f"BalancedDetectorSettings: response {self.response!r}, known: 'one_pole', "
                "'gaussian'"
            )
        if self.saturation not in ("soft", "hard"):
            raise ConfigurationError(
                f"BalancedDetectorSettings: saturation {self.saturation!r}, known: 'soft', 'hard'"
            )


class BalancedDetector:
    """Difference current of two diodes behind a half-and-half coupler.

    With signals s and oscillator o, per second:
    difference electrons = eta (2 V Re(E_s conj(E_o)) + k (|E_s|^2 + |E_o|^2)), noise variance
    (eta (|E_s|^2 + |E_o|^2) + I_dark/q)/dt, k = 10^(-rejection_db/20), V = mode match times
    polarisation overlap. Poisson statistics of the detected electrons, Gaussian at these numbers
    (Yuen and Chan, Opt. Lett. 8, 177 (1983)); without light only dark current and electronics
    are left. Then volts = transimpedance q electrons + electronic noise, limited, low-passed.

    Attributes:
        damaged: latched when the light was above the damage power; afterwards only noise.

    Args:
        settings: the data sheet.
        rng: source of noise.
    """

    def __init__(self, settings: BalancedDetectorSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self.damaged = False
        self._rng = rng
        self._window = Window(start_s=0.0, rate_hz=1.0, samples=0)
        self._low_pass: OnePole | FieldFilter = OnePole(settings.bandwidth_hz)
        self._normals: FloatArray = np.empty(0, dtype=np.float32)

    def begin(self, window: Window) -> None:
        """Start a shot."""
        self._window = window
        if self.settings.response == "gaussian":
            filtered = FieldFilter(gaussian_taps(self.settings.bandwidth_hz, window.rate_hz))
            filtered.begin()
            self._low_pass = filtered
        else:
            pole = OnePole(self.settings.bandwidth_hz)
            pole.begin(window.rate_hz)
            self._low_pass = pole

    def settling_s(self) -> float:
        """Time after which the low-pass has forgotten its start to 1e-4."""
        return 10.0 / (2 * math.pi * self.settings.bandwidth_hz)

    def block(self, signals: Sequence[Light], oscillator: Light) -> FloatArray:
        """Detect a block.

        Args:
            signals: light on the signal port; several beams may arrive in own polarisations and
                do not interfere with one another.
            oscillator: light on the oscillator port.

        Returns:
            Volts before the digitiser, shape (samples,).
        """
        volts = self._linear_volts(signals, oscillator)
        self._limit(volts)
        return np.asarray(self._low_pass.block(volts), dtype=np.float32)

    def _linear_volts(self, signals: Sequence[Light], oscillator: Light) -> FloatArray:
        settings = self.settings
        total = photon_flux(oscillator.field)
        for signal in signals:
            total += photon_flux(signal.field)
        self._check_damage(total)
        alive = 0.0 if self.damaged else settings.efficiency
        gain = settings.transimpedance_v_per_a * ELEMENTARY_CHARGE_C
        rejected = np.float32(gain * alive * 10.0 ** (-settings.common_mode_rejection_db / 20))
        volts = total * rejected
        for signal in signals:
            self._add_beat(volts, signal, oscillator, gain * alive)
        floor = settings.dark_current_a / ELEMENTARY_CHARGE_C * gain**2
        floor *= self._window.rate_hz
        floor += settings.electronic_noise_v_per_sqrt_hz**2 * self._window.rate_hz / 2
        total *= np.float32(alive * gain**2 * self._window.rate_hz)
        total += np.float32(floor)
        np.sqrt(total, out=total)
        total *= self._draw(total.size)
        volts += total
        return volts

    def _add_beat(self, volts: FloatArray, signal: Light, oscillator: Light, gain: float) -> None:
        beat_hz = signal.carrier_hz - oscillator.carrier_hz
        if abs(beat_hz) > self._window.rate_hz / 2:
            return  # beyond what the samples hold, and beyond what the electronics pass
        visibility = self.settings.mode_match * overlap(oscillator.jones, signal.jones)
        factor = 2 * gain * visibility
        beat = signal.field * np.complex64(factor)
        product = beat.real * oscillator.field.real
        product += beat.imag * oscillator.field.imag
        volts += product

    def _check_damage(self, flux: FloatArray) -> None:
        if flux.size and float(flux.max()) * PHOTON_ENERGY_J > self.settings.damage_power_w:
            self.damaged = True

    def _limit(self, volts: FloatArray) -> None:
        limit = self.settings.saturation_current_a * self.settings.transimpedance_v_per_a
        if self.settings.saturation == "hard":
            np.clip(volts, -limit, limit, out=volts)
            return
        # tanh(x) = x to 3e-7 below x = 1e-3.
        if volts.size and max(float(volts.max()), -float(volts.min())) > 1e-3 * limit:
            volts /= np.float32(limit)
            np.tanh(volts, out=volts)
            volts *= np.float32(limit)

    def _draw(self, samples: int) -> FloatArray:
        if self._normals.size != samples:
            self._normals = np.empty(samples, dtype=np.float32)
        self._rng.standard_normal(dtype=np.float32, out=self._normals)
        return self._normals


@dataclass(frozen=True, kw_only=True)
class PowerHeadSettings:
    """The head of an optical power meter.

    Args:
        noise_w_per_sqrt_hz: noise of a reading averaged over t is this over sqrt(2 t).
        offset_w: zero error before zeroing.
        relative_error: calibration error, the same for every reading.
    """

    noise_w_per_sqrt_hz: float = 2e-13
    offset_w: float = 5e-12
    relative_error: float = 0.01

    def __post_init__(self) -> None:
        check_between(self, "noise_w_per_sqrt_hz", 0.0, 1.0, unit="W/sqrt(Hz)")
        check_between(self, "offset_w", -1.0, 1.0, unit="W")
        check_between(self, "relative_error", -0.9, 10.0)


class PowerHead:
    """Reads a static power with calibration error, zero error and noise.

    Args:
        settings: the data sheet.
        rng: source of noise.
    """

    def __init__(self, settings: PowerHeadSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self._rng = rng
        self._zero_w = 0.0

    def read_w(self, power_w: float, averaging_s: float) -> float:
        """One reading in watts.

        Args:
            power_w: true power.
            averaging_s: averaging time, above 0.
        """
        return self._raw_w(power_w, averaging_s) - self._zero_w

    def zero(self, power_w: float, averaging_s: float) -> None:
        """Take the present reading as zero, as the instrument does whether it is dark or not."""
        self._zero_w = self._raw_w(power_w, averaging_s)

    def _raw_w(self, power_w: float, averaging_s: float) -> float:
        if not averaging_s > 0:
            raise ConfigurationError(f"power head: averaging time {averaging_s} s must be above 0")
        noise_w = self.settings.noise_w_per_sqrt_hz / math.sqrt(2 * averaging_s)
        error = noise_w * float(self._rng.standard_normal()) + self.settings.offset_w
        return power_w * (1 + self.settings.relative_error) + error
