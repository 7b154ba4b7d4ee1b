"""The simulated optical power meter: a point of the scene, seen with noise and errors."""

from drivers.instruments import PowerMeter, PowerMeterLimits, Range
from sim_backend.instruments.parts import PowerPart
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument

__all__ = ["POWER_METER_LIMITS", "SimulatedPowerMeter"]

POWER_METER_LIMITS = PowerMeterLimits(
    wavelength_m=Range(lowest=1200e-9, highest=1650e-9), power_w=Range(lowest=1e-11, highest=50e-3)
)


_SHORTEST_AVERAGING_S = 1e-3


class SimulatedPowerMeter(SimulatedInstrument, PowerMeter):
    """A power meter with an InGaAs sensor; a reading takes the averaging time.

    Args:
        name: role in the bench.
        limits: what can be measured.
        remote: link to the instrument.
        part: the sensor.
        averaging_s: time of a reading after power-up.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: PowerMeterLimits,
        remote: RemoteControl,
        part: PowerPart,
        averaging_s: float = 0.1,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._part = part
        self._averaging_s = averaging_s

    def _set_wavelength(self, wavelength_m: float) -> None:
        if self._remote.takes():
            self._part.wavelength_m = wavelength_m

    def _get_wavelength(self) -> float:
        self._remote.ask()
        return self._part.wavelength_m

    def _set_averaging(self, duration_s: float) -> None:
        if self._remote.takes():
            self._averaging_s = max(duration_s, _SHORTEST_AVERAGING_S)

    def _get_averaging(self) -> float:
        self._remote.ask()
        return self._averaging_s

    def _get_power(self) -> float:
        self._remote.ask()
        self._remote.clock.sleep(self._averaging_s)
        return self._part.read_w(self._averaging_s)

    def _zero(self) -> None:
        if self._remote.takes():
            self._remote.clock.sleep(self._averaging_s)
            self._part.zero(self._averaging_s)
