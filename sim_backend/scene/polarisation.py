"""Polarisation: controllers set by angles, and the slow random rotation of a fibre."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_whole
from sim_backend.scene.light import Jones, Light

__all__ = [
    "PolarisationController",
    "PolarisationControllerSettings",
    "PolarisationWalk",
    "overlap",
    "retarder",
]


def retarder(retardance_rad: float, axis_rad: float) -> Jones:
    """Jones matrix of a linear retarder, shape (2, 2), unitary with determinant 1.

    R(axis) diag(exp(-i d/2), exp(i d/2)) R(-axis): Jones, J. Opt. Soc. Am. 31, 488 (1941).

    Args:
        retardance_rad: phase d of the slow against the fast axis.
        axis_rad: angle of the fast axis to the horizontal.
    """
    half = retardance_rad / 2
    cosine, sine = math.cos(2 * axis_rad), math.sin(2 * axis_rad)
    pauli = np.array([[cosine, sine], [sine, -cosine]], dtype=np.complex128)
    return math.cos(half) * np.eye(2, dtype=np.complex128) - 1j * math.sin(half) * pauli


def overlap(first: Jones, second: Jones) -> complex:
    """<first|second>: amplitude with which two polarisations interfere."""
    return complex(np.vdot(first, second))


@dataclass(frozen=True, kw_only=True)
class PolarisationControllerSettings:
    """A controller of linear retarders in a row, as fibre squeezers are.

    Args:
        channels: retarders; their axes alternate between 0 and 45 degrees. Three reach every
            rotation, four do so without endpoints.
        insertion_loss_db: loss.
    """

    channels: int = 4
    insertion_loss_db: float = 0.3

    def __post_init__(self) -> None:
        check_whole(self, "channels", 1, 16)
        check_between(self, "insertion_loss_db", 0.0, 30.0, unit="dB")


class PolarisationController:
    """Rotates the polarisation by the product of its retarders, channel 0 first.

    Args:
        settings: the data sheet.
    """

    def __init__(self, settings: PolarisationControllerSettings) -> None:
        self.settings = settings
        self._angles: NDArray[np.float64] = np.zeros(settings.channels)
        self._matrix: Jones = np.eye(2, dtype=np.complex128)

    def set_angles(self, angles_rad: NDArray[np.float64]) -> None:
        """Set the retardances in radians, shape (channels,).

        Raises:
            ConfigurationError: wrong shape or not finite.
        """
        if angles_rad.shape != self._angles.shape or not np.isfinite(angles_rad).all():
            raise ConfigurationError(
                f"polarisation controller: {self.settings.channels} finite angles are needed, "
                f"got shape {angles_rad.shape}"
            )
        self._angles = angles_rad.astype(np.float64, copy=True)
        self._matrix = np.eye(2, dtype=np.complex128)
        for channel, angle in enumerate(self._angles):
            axis = 0.0 if channel % 2 == 0 else math.pi / 4
            self._matrix = retarder(float(angle), axis) @ self._matrix

    def angles(self) -> NDArray[np.float64]:
        """The retardances in radians, shape (channels,)."""
        return self._angles.copy()

    def matrix(self) -> Jones:
        """The rotation, shape (2, 2)."""
        return self._matrix.copy()

    def transmission(self) -> float:
        """Power transmission."""
        return float(10.0 ** (-self.settings.insertion_loss_db / 10))

    def block(self, light: Light) -> Light:
        """Rotate a block."""
        return replace(
            light.scaled(math.sqrt(self.transmission())), jones=self._matrix @ light.jones
        )


class PolarisationWalk:
    """A rotation that diffuses on the Poincare sphere, as a fibre's birefringence does.

    Every step multiplies by a random rotation whose three angles are independent with standard
    deviation rate sqrt(t) (Wai and Menyuk, J. Lightwave Technol. 14, 148 (1996)).

    Args:
        rate_rad_per_sqrt_s: standard deviation of each angle after one second.
        rng: source of randomness.
        scrambled: start from a random rotation rather than from none.
    """

    def __init__(
        self, rate_rad_per_sqrt_s: float, rng: np.random.Generator, *, scrambled: bool = False
    ) -> None:
        self._rate = rate_rad_per_sqrt_s
        self._rng = rng
        self.matrix: Jones = np.eye(2, dtype=np.complex128)
        if scrambled:
            numbers = rng.standard_normal(4)
            numbers /= np.linalg.norm(numbers)
            self.matrix = _rotation(numbers[0], numbers[1:])

    def age(self, duration_s: float) -> None:
        """Let time pass."""
        if self._rate == 0 or duration_s == 0:
            return
        angles = self._rate * math.sqrt(duration_s) * self._rng.standard_normal(3)
        angle = float(np.linalg.norm(angles))
        if angle > 0:
            turn = _rotation(math.cos(angle / 2), math.sin(angle / 2) * angles / angle)
            self.matrix = turn @ self.matrix


def _rotation(scalar: float, vector: NDArray[np.float64]) -> Jones:
    """SU(2) matrix of a unit quaternion."""
    a, b, c = (float(part) for part in vector)
    return np.array(
        [[scalar - 1j * a, -1j * b - c], [-1j * b + c, scalar + 1j * a]], dtype=np.complex128
    )
