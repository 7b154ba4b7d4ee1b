"""Light as the scene carries it: sampled classical fields with one polarisation each.

A field is in sqrt(photons/s): |field|^2 is the photon flux. It is the Glauber P representation,
so coherent states carry no noise here and all vacuum noise is added where light is detected;
that is exact for coherent light and for light with added classical Gaussian noise (Glauber,
Phys. Rev. 131, 2766 (1963); Sudarshan, Phys. Rev. Lett. 10, 277 (1963)).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from drivers.errors import ConfigurationError

__all__ = [
    "ELEMENTARY_CHARGE_C",
    "PHOTON_ENERGY_J",
    "REFERENCE_WAVELENGTH_M",
    "SPEED_OF_LIGHT_M_PER_S",
    "ComplexArray",
    "FloatArray",
    "Jones",
    "Light",
    "Window",
    "dark",
    "frequency_offset_hz",
    "horizontal",
    "photon_flux",
]

FloatArray = NDArray[np.float32]
ComplexArray = NDArray[np.complex64]
Jones = NDArray[np.complex128]

SPEED_OF_LIGHT_M_PER_S = float(constants.c)
ELEMENTARY_CHARGE_C = float(constants.e)
REFERENCE_WAVELENGTH_M = 1550.0e-9
"""Wavelength whose frequency is 0 Hz in the scene."""
PHOTON_ENERGY_J = float(constants.h) * SPEED_OF_LIGHT_M_PER_S / REFERENCE_WAVELENGTH_M
"""Energy of a photon; its change over the band of a laser (1e-5) is neglected."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The samples of one shot.

    Args:
        start_s: time of the first sample after the trigger, negative before it.
        rate_hz: samples per second, the same for all light of the scene.
        samples: number of samples.
    """

    start_s: float
    rate_hz: float
    samples: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start_s) and np.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ConfigurationError(
                f"Window: start {self.start_s} s at {self.rate_hz} samples/s; both must be finite "
                "and the rate above 0"
            )
        if self.samples < 0:
            raise ConfigurationError(f"Window: samples is {self.samples}, it must not be negative")

    @property
    def step_s(self) -> float:
        """Time from one sample to the next in seconds."""
        return 1.0 / self.rate_hz


def horizontal() -> Jones:
    """The Jones vector (1, 0)."""
    return np.array([1.0, 0.0], dtype=np.complex128)


@dataclass(frozen=True, kw_only=True, eq=False)
class Light:
    """A block of one light beam.

    Args:
        field: complex envelope in sqrt(photons/s) around the scene's 0 Hz, shape (samples,).
        jones: polarisation, unit vector of shape (2,).
        carrier_hz: frequency that the light is centred on, already contained in `field`. A
            detector needs it to know when a beat lies beyond what the samples can hold.
    """

    field: ComplexArray
    jones: Jones = dataclasses.field(default_factory=horizontal)
    carrier_hz: float = 0.0

    def with_field(self, new: ComplexArray) -> "Light":
        """The same light with another envelope."""
        return dataclasses.replace(self, field=new)

    def scaled(self, amplitude: complex) -> "Light":
        """The light with its amplitude multiplied by a constant."""
        return self.with_field(self.field * np.complex64(amplitude))

    def mean_power_w(self) -> float:
        """Mean power of the block in watts, 0 for an empty one."""
        if self.field.size == 0:
            return 0.0
        return float(np.mean(photon_flux(self.field), dtype=np.float64)) * PHOTON_ENERGY_J


def dark(samples: int) -> Light:
    """No light, for `samples` samples."""
    return Light(field=np.zeros(samples, dtype=np.complex64))


def photon_flux(field: ComplexArray) -> FloatArray:
    """Photons per second at every sample, shape (samples,)."""
    flux = np.square(field.real)
    flux += np.square(field.imag)
    return flux


def frequency_offset_hz(wavelength_m: float) -> float:
    """Optical frequency above that of the reference wavelength, in Hz.

    Written as a difference so that the 1e14 Hz of the carrier do not eat the digits.
    """
    return (
        SPEED_OF_LIGHT_M_PER_S
        * (REFERENCE_WAVELENGTH_M - wavelength_m)
        / (wavelength_m * REFERENCE_WAVELENGTH_M)
    )
