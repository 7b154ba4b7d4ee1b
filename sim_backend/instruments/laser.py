"""The simulated laser: the remote control of a laser of the scene."""

from typing import ClassVar

from drivers.instruments import Laser, LaserLimits, Range
from sim_backend.instruments.faults import FaultKind
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.lasers import LaserSource

__all__ = ["LASER_LIMITS", "SimulatedLaser"]

LASER_LIMITS = LaserLimits(
    power_w=Range(lowest=1e-5, highest=50e-3),
    wavelength_m=Range(lowest=1528e-9, highest=1568e-9),
)


class SimulatedLaser(SimulatedInstrument, Laser):
    """A tunable laser. Set points are taken at once; the light follows as the scene says.

    It takes seconds, so it is not asked a thousand times a second whether it has settled.

    Args:
        name: role in the bench.
        limits: what may be set.
        remote: link to the instrument.
        source: the light in the scene.
    """

    poll_interval_s: ClassVar[float] = 0.02

    def __init__(
        self, name: str, *, limits: LaserLimits, remote: RemoteControl, source: LaserSource
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._source = source

    def _set_power(self, power_w: float) -> None:
        if self._remote.takes():
            self._source.set_power_w(power_w)

    def _get_power(self) -> float:
        self._remote.ask()
        return self._source.power_setpoint_w()

    def _set_wavelength(self, wavelength_m: float) -> None:
        if self._remote.takes():
            self._source.set_wavelength_m(wavelength_m)

    def _get_wavelength(self) -> float:
        self._remote.ask()
        return self._source.wavelength_setpoint_m()

    def _set_emission(self, on: bool) -> None:
        if self._remote.takes():
            self._source.set_emission(on and self._may_emit())

    def _get_emission(self) -> bool:
        self._remote.ask()
        return self._may_emit() and self._source.emission()

    def _get_interlock(self) -> bool:
        self._remote.ask()
        return self._may_emit()

    def _is_settled(self) -> bool:
        self._remote.ask()
        return self._source.is_settled()

    def _may_emit(self) -> bool:
        """Whether the interlock is closed; where it is open the laser is dark for good."""
        closed = self._remote.fault(FaultKind.INTERLOCK_OPEN) is None
        if not closed and self._source.emission():
            self._source.set_emission(False)
        return closed
