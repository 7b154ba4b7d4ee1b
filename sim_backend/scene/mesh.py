"""A programmable mesh of interferometers: any unitary between its ports, up to its errors."""

import math
from dataclasses import dataclass

import numpy as np

from drivers.errors import ConfigurationError
from sim_backend.scene._checks import check_between, check_positive, check_whole
from sim_backend.scene.mesh_algebra import Phases, Unitary, compose, mesh_places

__all__ = ["Mesh", "MeshSettings"]


@dataclass(frozen=True, kw_only=True)
class MeshSettings:
    """A rectangular mesh with thermal phase shifters.

    Args:
        ports: number of ports.
        half_wave_v: voltage of a phase of pi.
        coupler_error_rad: standard deviation of each coupler's angle about 45 degrees.
        phase_error_rad: standard deviation of each shifter's phase at 0 V.
        crosstalk: part of a shifter's phase that its neighbour in the same column receives.
        insertion_loss_db: loss of the whole mesh, the same for every path.
    """

    ports: int = 8
    half_wave_v: float = 4.0
    coupler_error_rad: float = 0.01
    phase_error_rad: float = 0.5
    crosstalk: float = 0.0
    insertion_loss_db: float = 3.0

    def __post_init__(self) -> None:
        check_whole(self, "ports", 2, 256)
        check_positive(self, "half_wave_v")
        check_between(self, "coupler_error_rad", 0.0, 1.0, unit="rad")
        check_between(self, "phase_error_rad", 0.0, 10.0, unit="rad")
        check_between(self, "crosstalk", 0.0, 0.5)
        check_between(self, "insertion_loss_db", 0.0, 60.0, unit="dB")


class Mesh:
    """Unitary of the mesh from the voltages on its shifters.

    A phase is pi (V/V_pi)^2 + error. Voltages and phases are ordered (all theta, all phi, output
    phases), places as in `mesh_places`; what they make of light is in `compose`.

    Attributes:
        channels: number of shifters: ports (ports - 1) + ports.

    Args:
        settings: the data sheet.
        rng: draws the errors of this specimen.
    """

    def __init__(self, settings: MeshSettings, *, rng: np.random.Generator) -> None:
        self.settings = settings
        self._places = mesh_places(settings.ports)
        units = len(self._places)
        self.channels = 2 * units + settings.ports
        self._coupler_errors = settings.coupler_error_rad * rng.standard_normal((units, 2))
        self._phase_errors = settings.phase_error_rad * rng.standard_normal(self.channels)
        self._voltages: Phases = np.zeros(self.channels)

    def set_voltages(self, voltages_v: Phases) -> None:
        """Set all shifters.

        Args:
            voltages_v: volts, shape (channels,).

        Raises:
            ConfigurationError: wrong shape or not finite.
        """
        if voltages_v.shape != (self.channels,) or not np.isfinite(voltages_v).all():
            raise ConfigurationError(
                f"mesh: {self.channels} finite voltages are needed, got shape {voltages_v.shape}"
            )
        self._voltages = voltages_v.astype(np.float64, copy=True)

    def voltages(self) -> Phases:
        """The voltages in volts, shape (channels,)."""
        return self._voltages.copy()

    def voltages_for(self, phases_rad: Phases) -> Phases:
        """Voltages that an errorless, crosstalk-free driver of these phases applies."""
        return self.settings.half_wave_v * np.sqrt(np.mod(phases_rad, 2 * math.pi) / math.pi)

    def phases(self) -> Phases:
        """True phases in radians with errors and crosstalk, shape (channels,)."""
        heated = math.pi * (self._voltages / self.settings.half_wave_v) ** 2
        units = len(self._places)
        spilled = np.zeros_like(heated)
        for first, (column, port) in enumerate(self._places[:-1]):
            if self._places[first + 1] == (column, port + 2):
                for offset in (first, units + first):
                    spilled[offset] += heated[offset + 1]
                    spilled[offset + 1] += heated[offset]
        return heated + self.settings.crosstalk * spilled + self._phase_errors

    def unitary(self) -> Unitary:
        """The lossless transfer, shape (ports, ports): out = unitary @ in."""
        return compose(self.settings.ports, self.phases(), self._coupler_errors)

    def transfer(self) -> Unitary:
        """The transfer with loss, shape (ports, ports)."""
        return np.asarray(self.unitary() * 10.0 ** (-self.settings.insertion_loss_db / 20))
