"""What someone on a fibre does to the light at its end: delays, adds, amplifies, resends.

Acts on fields as the scene carries them, where all vacuum noise is added at detection: noise of
mean photon number n per mode is then a classical Gaussian field of n photons/s per hertz, and
raises both quadratures by 2 n in shot-noise units (Caves, Phys. Rev. D 26, 1817 (1982)).
"""

import math

import numpy as np

from sim_backend.instruments.faults import FaultFinder, FaultKind
from sim_backend.scene.light import PHOTON_ENERGY_J, ComplexArray, Light, Window
from sim_backend.scene.streaming import DelayLine

__all__ = ["Intruder"]


class Intruder:
    """Someone at the end of one fibre span, who does nothing as long as the plan says nothing.

    Args:
        fault: what is done now.
        rng: source of the noise that is added.
    """

    def __init__(self, fault: FaultFinder, *, rng: np.random.Generator) -> None:
        self._fault = fault
        self._rng = rng
        self._rate_hz = 1.0
        self._delay: DelayLine | None = None

    def begin(self, window: Window) -> None:
        """Start a shot; whether light is delayed is settled for all of it."""
        self._rate_hz = window.rate_hz
        delayed = self._fault(FaultKind.LIGHT_DELAYED)
        self._delay = None if delayed is None else DelayLine(round(delayed.amount * window.rate_hz))

    def block(self, light: Light) -> Light:
        """Pass a block on."""
        field = light.field if self._delay is None else self._delay.block(light.field)
        brighter = self._fault(FaultKind.LIGHT_BRIGHTENED)
        if brighter is not None:
            field = field * np.complex64(10.0 ** (brighter.amount / 20))
        photons = self._noise_photons()
        if photons > 0:
            field = field + self._noise(field.size, photons)
        added = self._fault(FaultKind.LIGHT_ADDED)
        if added is not None:
            field = field + np.complex64(math.sqrt(added.amount / PHOTON_ENERGY_J))
        return light.with_field(field)

    def _noise_photons(self) -> float:
        """Mean photons per mode that the attacks on the light itself leave in it."""
        photons = 0.0
        taken = self._fault(FaultKind.LIGHT_REAMPLIFIED)
        if taken is not None:
            # An amplifier that makes up for a tap has gain 1/(1 - f) and adds gain - 1 photons.
            photons += taken.amount / (1 - taken.amount)
        resent = self._fault(FaultKind.LIGHT_RESENT)
        if resent is not None:
            photons += resent.amount / 2
        return photons

    def _noise(self, samples: int, photons: float) -> ComplexArray:
        noise = self._rng.standard_normal(2 * samples, dtype=np.float32)
        noise *= np.float32(math.sqrt(photons * self._rate_hz / 2))
        return noise.view(np.complex64)
