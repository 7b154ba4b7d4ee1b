"""The simulated bias controller: dither loops that hold modulators of the scene at their points."""

from collections.abc import Sequence

from drivers.errors import ConfigurationError
from drivers.instruments import BiasController, BiasLimits, BiasPoint, Range
from sim_backend.instruments.bias_part import BiasPart, BiasSettings
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument

__all__ = ["BIAS_LIMITS", "BiasSettings", "SimulatedBiasController"]

BIAS_LIMITS = BiasLimits(channels=1, volts=Range(lowest=-10.0, highest=10.0))


class SimulatedBiasController(SimulatedInstrument, BiasController):
    """Bias voltages with a dither loop each, which follows the drift of its modulator.

    Args:
        name: role in the bench.
        limits: what may be set, by the loops too; as many channels as there are parts.
        remote: link to the instrument.
        parts: electrode and loop per channel.

    Raises:
        ConfigurationError: the channels do not fit.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: BiasLimits,
        remote: RemoteControl,
        parts: Sequence[BiasPart],
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        if len(parts) != limits.channels:
            raise ConfigurationError(
                f"{name}: {limits.channels} channels for {len(parts)} modulators; give one "
                "channel to each"
            )
        self._remote = remote
        self._parts = tuple(parts)
        for part in self._parts:
            part.volts = limits.volts

    def _set_voltage(self, channel: int, volts: float) -> None:
        if self._remote.takes():
            self._parts[channel].voltage_v = volts

    def _get_voltage(self, channel: int) -> float:
        self._remote.ask()
        return self._parts[channel].voltage_v

    def _lock_to(self, channel: int, point: BiasPoint) -> None:
        if self._remote.takes():
            self._parts[channel].lock(point)

    def _is_locked(self, channel: int) -> bool:
        self._remote.ask()
        return self._parts[channel].is_locked()

    def _unlock(self, channel: int) -> None:
        if self._remote.takes():
            self._parts[channel].unlock()
