"""The simulated optical power meter: a point of the scene, seen with noise and errors."""

from collections.abc import Callable

from drivers.instruments import PowerMeter, PowerMeterLimits, Range
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.detectors import PowerHead
from sim_backend.scene.light import REFERENCE_WAVELENGTH_M

__all__ = ["POWER_METER_LIMITS", "SimulatedPowerMeter"]

POWER_METER_LIMITS = PowerMeterLimits(
    wavelength_m=Range(lowest=1200e-9, highest=1650e-9), power_w=Range(lowest=1e-11, highest=50e-3)
)


_SHORTEST_AVERAGING_S = 1e-3


class SimulatedPowerMeter(SimulatedInstrument, PowerMeter):
    """A power meter with an InGaAs sensor of constant quantum efficiency.

    Such a sensor's current is proportional to power times wavelength (Saleh and Teich,
    Fundamentals of Photonics, chapter 18), so a wrong wavelength scales the reading.

    Args:
        name: role in the bench.
        limits: what can be measured.
        remote: link to the instrument.
        head: sensor of the scene, with its errors and its noise.
        power_w: the true power at the sensor now, in W.
        averaging_s: time of a reading after power-up.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: PowerMeterLimits,
        remote: RemoteControl,
        head: PowerHead,
        power_w: Callable[[], float],
        averaging_s: float = 0.1,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._head = head
        self._true_power_w = power_w
        self._averaging_s = averaging_s
        self._wavelength_m = REFERENCE_WAVELENGTH_M

    def _set_wavelength(self, wavelength_m: float) -> None:
        if self._remote.takes():
            self._wavelength_m = wavelength_m

    def _get_wavelength(self) -> float:
        self._remote.ask()
        return self._wavelength_m

    def _set_averaging(self, duration_s: float) -> None:
        if self._remote.takes():
            self._averaging_s = max(duration_s, _SHORTEST_AVERAGING_S)

    def _get_averaging(self) -> float:
        self._remote.ask()
        return self._averaging_s

    def _get_power(self) -> float:
        self._remote.ask()
        self._remote.clock.sleep(self._averaging_s)
        return self._head.read_w(self._seen_w(), self._averaging_s)

    def _zero(self) -> None:
        if self._remote.takes():
            self._remote.clock.sleep(self._averaging_s)
            self._head.zero(self._seen_w(), self._averaging_s)

    def _seen_w(self) -> float:
        """True power as the meter would compute it from the sensor's current."""
        return self._true_power_w() * REFERENCE_WAVELENGTH_M / self._wavelength_m
