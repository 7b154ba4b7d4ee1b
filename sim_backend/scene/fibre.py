"""Optical fibre: loss, delay, dispersion, thermal phase, polarisation walk and backscatter."""

import cmath
import math
from dataclasses import dataclass, replace

import numpy as np

from sim_backend.scene._checks import check_between
from sim_backend.scene.light import (
    REFERENCE_WAVELENGTH_M,
    SPEED_OF_LIGHT_M_PER_S,
    ComplexArray,
    Jones,
    Light,
    Window,
    photon_flux,
)
from sim_backend.scene.polarisation import PolarisationWalk
from sim_backend.scene.resampling import HALF_TAPS, interpolation_taps
from sim_backend.scene.slow import RandomWalk
from sim_backend.scene.streaming import DelayLine, FieldFilter, OnePole

__all__ = ["Fibre", "FibreSettings", "RayleighBackscatter", "backscatter_fraction"]

_NEGLIGIBLE_DISPERSION_RAD = 1e-3
_DISPERSION_REACH = 8


@dataclass(frozen=True, kw_only=True)
class FibreSettings:
    """A spool of single-mode fibre; the defaults are G.652 at 1550 nm.

    Args:
        length_m: length.
        loss_db_per_km: attenuation.
        connector_loss_db: loss of both connectors together.
        group_index: speed of light over group velocity.
        dispersion_ps_per_nm_km: chromatic dispersion.
        thermal_phase_rad_per_sqrt_s: standard deviation of the optical phase after one second.
        polarisation_rad_per_sqrt_s: the same for each angle of the polarisation's rotation.
        polarisation_scrambled: start from a random polarisation rotation.
        rayleigh_loss_db_per_km: the part of the loss that is Rayleigh scattering.
        capture: fraction of the scattered light that is guided backwards.
    """

    length_m: float = 1000.0
    loss_db_per_km: float = 0.2
    connector_loss_db: float = 0.5
    group_index: float = 1.468
    dispersion_ps_per_nm_km: float = 17.0
    thermal_phase_rad_per_sqrt_s: float = 3.0
    polarisation_rad_per_sqrt_s: float = 1e-3
    polarisation_scrambled: bool = True
    rayleigh_loss_db_per_km: float = 0.17
    capture: float = 1.5e-3

    def __post_init__(self) -> None:
        check_between(self, "length_m", 0.0, 500e3, unit="m")
        check_between(self, "loss_db_per_km", 0.0, 1e3, unit="dB/km")
        check_between(self, "connector_loss_db", 0.0, 60.0, unit="dB")
        check_between(self, "group_index", 1.0, 5.0)
        check_between(self, "dispersion_ps_per_nm_km", -1e3, 1e3, unit="ps/(nm km)")
        check_between(self, "thermal_phase_rad_per_sqrt_s", 0.0, 1e6, unit="rad/sqrt(s)")
        check_between(self, "polarisation_rad_per_sqrt_s", 0.0, 1e6, unit="rad/sqrt(s)")
        check_between(self, "rayleigh_loss_db_per_km", 0.0, 1e3, unit="dB/km")
        check_between(self, "capture", 0.0, 1.0)

    @property
    def delay_s(self) -> float:
        """Group delay in seconds."""
        return self.length_m * self.group_index / SPEED_OF_LIGHT_M_PER_S


def backscatter_fraction(settings: FibreSettings) -> float:
    """Power that returns to the input by Rayleigh scattering, relative to the power sent.

    S a_s (1 - exp(-2 a L))/(2 a) with loss a and scattering a_s per metre and capture S:
    Brinkmeyer, J. Opt. Soc. Am. 70, 1010 (1980).
    """
    per_metre = math.log(10) / 10 / 1000
    loss = settings.loss_db_per_km * per_metre
    scattering = settings.rayleigh_loss_db_per_km * per_metre
    if loss == 0:
        return settings.capture * scattering * settings.length_m
    return settings.capture * scattering * -math.expm1(-2 * loss * settings.length_m) / (2 * loss)


class Fibre:
    """One direction of travel through a fibre.

    Args:
        settings: the data sheet.
        rng: source of the slow walks.
    """

    def __init__(self, settings: FibreSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self._phase = RandomWalk(settings.thermal_phase_rad_per_sqrt_s, rng)
        self._applied_rad = 0.0
        self._polarisation = PolarisationWalk(
            settings.polarisation_rad_per_sqrt_s, rng, scrambled=settings.polarisation_scrambled
        )
        self._delay = DelayLine(0)
        self._filter: FieldFilter | None = None

    def transmission(self) -> float:
        """Power transmission, connectors included."""
        loss_db = self.settings.loss_db_per_km * self.settings.length_m / 1000
        return float(10.0 ** (-(loss_db + self.settings.connector_loss_db) / 10))

    def matrix(self) -> Jones:
        """Polarisation rotation now, shape (2, 2)."""
        return self._polarisation.matrix.copy()

    def age(self, duration_s: float) -> None:
        """Let phase and polarisation walk."""
        self._phase.age(duration_s)
        self._polarisation.age(duration_s)

    def begin(self, window: Window) -> None:
        """Start a shot: the fibre is dark."""
        self._applied_rad = self._phase.value
        delay = self.settings.delay_s * window.rate_hz
        taps, reach = self._response(delay, window.rate_hz)
        if taps is None or math.floor(delay) < reach:
            self._delay, self._filter = DelayLine(round(delay)), None
        else:
            self._delay = DelayLine(math.floor(delay) - reach)
            self._filter = FieldFilter(taps)

    def block(self, light: Light) -> Light:
        """Send a block through; what comes out is delayed."""
        field = self._delay.block(light.field)
        if self._filter is not None:
            field = self._filter.block(field)
        target = self._phase.value
        amplitude = math.sqrt(self.transmission())
        if target == self._applied_rad:
            turned = field * np.complex64(cmath.rect(amplitude, target))
        else:  # the phase moved between blocks: reach its new value within this one
            ramp = np.linspace(self._applied_rad, target, field.size, dtype=np.float32)
            rotation = np.empty(field.size, dtype=np.complex64)
            np.multiply(np.cos(ramp), np.float32(amplitude), out=rotation.real)
            np.multiply(np.sin(ramp), np.float32(amplitude), out=rotation.imag)
            turned = np.multiply(field, rotation, out=rotation)
            self._applied_rad = target
        return replace(light, field=turned, jones=self._polarisation.matrix @ light.jones)

    def _response(self, delay: float, rate_hz: float) -> tuple[ComplexArray | None, int]:
        """Taps for the fraction of the delay and the dispersion, and how many come early."""
        fraction = delay % 1.0
        taps, reach = None, 0
        if min(fraction, 1 - fraction) > 1e-6:
            taps = interpolation_taps(1 - fraction)[::-1].astype(np.complex64)
            reach = HALF_TAPS - 1
        dispersion = self._dispersion(rate_hz)
        if dispersion is not None:
            taps = dispersion if taps is None else np.convolve(taps, dispersion)
            reach += _DISPERSION_REACH
        return taps, reach

    def _dispersion(self, rate_hz: float) -> ComplexArray | None:
        """Symmetric taps of exp(-i b2 L w^2/2), b2 = -D lambda^2/(2 pi c); None if negligible.

        Agrawal, Nonlinear Fiber Optics, section 2.4, for fields that turn as exp(+i w t).
        """
        curvature = (
            -self.settings.dispersion_ps_per_nm_km
            * 1e-6
            * REFERENCE_WAVELENGTH_M**2
            / (2 * math.pi * SPEED_OF_LIGHT_M_PER_S)
        )
        factor = curvature * self.settings.length_m / 2
        if abs(factor) * (math.pi * rate_hz) ** 2 < _NEGLIGIBLE_DISPERSION_RAD:
            return None
        frequencies = np.fft.fftfreq(4 * _DISPERSION_REACH)
        response = np.exp(-1j * factor * (2 * math.pi * rate_hz * frequencies) ** 2)
        taps = np.fft.fftshift(np.fft.ifft(response))
        middle = 2 * _DISPERSION_REACH
        kept = taps[middle - _DISPERSION_REACH : middle + _DISPERSION_REACH + 1]
        return np.asarray(kept, dtype=np.complex64)


class RayleighBackscatter:
    """Light that a fibre scatters back to where it was sent from.

    Coherent scattering from many points is a complex Gaussian field (speckle: Goodman, Speckle
    Phenomena in Optics); its power here is the backscattered fraction of the sent power, averaged
    with the exponential memory of one round trip, and it is drawn anew for every sample.

    Args:
        settings: the fibre.
        rng: source of randomness.
        crosstalk_db: isolation of the circulator, whose leak adds the sent field itself.
    """

    def __init__(
        self, settings: FibreSettings, *, rng: np.random.Generator, crosstalk_db: float = 300.0
    ) -> None:
        self._settings = settings
        self._fraction = backscatter_fraction(settings)
        self._leak = 10.0 ** (-crosstalk_db / 20)
        self._rng = rng
        self._mean = OnePole(1.0)
        self._polarisation = PolarisationWalk(0.0, rng, scrambled=True)

    def begin(self, window: Window) -> None:
        """Start a shot."""
        round_trip_s = max(2 * self._settings.delay_s, window.step_s)
        self._mean = OnePole(1 / (2 * math.pi * round_trip_s))
        self._mean.begin(window.rate_hz)

    def block(self, sent: Light) -> Light:
        """What comes back while `sent` enters the fibre."""
        amplitude = np.sqrt(self._mean.block(photon_flux(sent.field)) * np.float32(0.5))
        amplitude *= np.float32(math.sqrt(self._fraction))
        noise = self._rng.standard_normal(2 * sent.field.size, dtype=np.float32)
        field = noise.view(np.complex64) * amplitude
        field += sent.field * np.complex64(self._leak)
        return replace(sent, field=field, jones=self._polarisation.matrix @ sent.jones)
