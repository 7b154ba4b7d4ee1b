"""The link once more, slowly: every mode is drawn and sent through every element by itself.

Fields are complex arrays X + iP in shot-noise units, `(shots, modes)`, in the Wigner picture, which
is exact for Gaussian light: vacuum has variance 1 per quadrature, passive elements mix fields, the
amplifier mixes in the conjugate of its idler (Caves, Phys. Rev. D 26, 1817 (1982)). Nothing here is
shared with the simulator but its settings.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap
from sim_backend.settings import DetectorSettings, LinkSettings

__all__ = ["Reference", "complete_to_unitary"]

Real = NDArray[np.float64]
Field = NDArray[np.complex128]


def complete_to_unitary(data: Field) -> Field:
    """A unitary whose first row is conj(data): it takes the data mode to port 0."""
    basis = np.eye(data.size, dtype=np.complex128)
    basis[:, 0] = data
    columns, triangle = np.linalg.qr(basis)
    columns[:, 0] *= triangle[0, 0]  # QR may turn the first column by a phase
    return np.asarray(columns.conj().T)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A link with fixed means and data whose shots are independent.

    Args:
        settings: losses and noise; drift without memory.
        attack: "", "keep", "keep and amplify", "resend" or "meter of X".
        strength: kept fraction, or noise of P for the meter.
        constant_drift: phase and oscillator stand one standard deviation off for good.
    """

    settings: LinkSettings
    attack: str = ""
    strength: float = 0.0
    constant_drift: bool = False

    def shots(
        self, rng: np.random.Generator, shots: int, means: Field, data: Field, on_p: bool
    ) -> Real:
        """Client outcome and returned record per shot: `(shots, 1 + modes)`."""
        settings = self.settings
        light = means + _vacuum(rng, (shots, means.shape[-1]))
        light += math.sqrt(settings.excess_noise_snu) * _vacuum(rng, light.shape)
        light = _lose(rng, light, settings.forward_transmittance)
        outcome, light = self._receive(rng, light, data)
        if not isinstance(settings.receiver, PassiveTap):
            light = _rotate(light, data, settings.unitary_error_rad)
        light = self._tamper(rng, light)
        light = _lose(rng, light, settings.return_transmittance)
        record = self._homodyne(rng, light, settings.server, on_p)
        return np.concatenate([outcome[:, None], record], axis=1)

    def _receive(self, rng: np.random.Generator, light: Field, data: Field) -> tuple[Real, Field]:
        receiver, detector = self.settings.receiver, self.settings.client
        if isinstance(receiver, PassiveTap):
            light, tapped = _split(light, _vacuum(rng, light.shape), 1 - receiver.tap_fraction)
            signal = tapped @ data.conj()
            return self._homodyne(rng, signal[:, None], detector, False)[:, 0], light
        unitary = complete_to_unitary(data)
        ports = light @ unitary.T
        signal = ports[:, 0]
        if isinstance(receiver, Amplifier):
            idler = _vacuum(rng, signal.shape)
            gain = receiver.gain
            signal = math.sqrt(gain) * signal + math.sqrt(gain - 1) * idler.conj()
            kept, tapped = _split(signal, _vacuum(rng, signal.shape), 1 / gain)
            outcome = self._homodyne(rng, tapped[:, None], detector, False)[:, 0]
        else:
            assert isinstance(receiver, FeedForwardTap)
            tau = receiver.tap_fraction
            kept, tapped = _split(signal, _vacuum(rng, signal.shape), 1 - tau)
            outcome = self._homodyne(rng, tapped[:, None], detector, False)[:, 0]
            eta = detector.efficiency * detector.visibility**2
            kept = kept + (1 - math.sqrt(1 - tau)) / math.sqrt(tau) / math.sqrt(eta) * outcome
        ports[:, 0] = kept
        return outcome, ports @ unitary.conj()

    def _tamper(self, rng: np.random.Generator, light: Field) -> Field:
        if self.attack == "keep":
            return _lose(rng, light, 1 - self.strength)
        if self.attack == "keep and amplify":
            gain = 1 / (1 - self.strength)
            light = _lose(rng, light, 1 - self.strength)
            idler = _vacuum(rng, light.shape)
            return math.sqrt(gain) * light + math.sqrt(gain - 1) * idler.conj()
        if self.attack == "resend":
            one, two = _split(light, _vacuum(rng, light.shape), 0.5)
            # The other output has the sign of the beam splitter's reflection.
            read = math.sqrt(2) * (one.real + 1j * two.imag)
            return read + _vacuum(rng, light.shape)
        if self.attack == "meter of X":
            return light + 1j * math.sqrt(self.strength) * rng.standard_normal(light.shape)
        return light

    def _homodyne(
        self, rng: np.random.Generator, light: Field, detector: DetectorSettings, on_p: bool
    ) -> Real:
        """Record of a detector; phase error and oscillator are drawn anew for every shot."""
        shots = light.shape[0]
        light = _lose(rng, light, detector.efficiency)
        light = _lose(rng, light, detector.visibility**2)
        drift = np.ones((2, shots, 1))
        if not self.constant_drift:
            drift = rng.standard_normal(drift.shape)
        phase = detector.phase_error_rad * drift[0]
        oscillator = 1 + detector.oscillator_drift * drift[1]
        field = light * np.exp(-1j * phase)
        measured = field.imag if on_p else field.real
        electronics = math.sqrt(detector.electronic_noise_snu) * rng.standard_normal(light.shape)
        return np.asarray(oscillator * measured + electronics)


def _vacuum(rng: np.random.Generator, shape: tuple[int, ...]) -> Field:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def _split(light: Field, other: Field, transmittance: float) -> tuple[Field, Field]:
    """Both outputs of a beam splitter: `transmittance` of the light, and the rest of it."""
    through, aside = math.sqrt(transmittance), math.sqrt(1 - transmittance)
    return through * light - aside * other, aside * light + through * other


def _lose(rng: np.random.Generator, light: Field, transmittance: float) -> Field:
    return _split(light, _vacuum(rng, light.shape), transmittance)[0]


def _rotate(light: Field, data: Field, angle: float) -> Field:
    """Turn by `angle` in the plane of the data mode and of the data shifted by one bin."""
    other = np.roll(data, 1)
    other = other - (data.conj() @ other) * data
    other /= np.linalg.norm(other)
    plane = np.stack([data, other])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    amplitudes = light @ plane.conj().T
    return np.asarray(light + (amplitudes @ turn.T - amplitudes) @ plane)
