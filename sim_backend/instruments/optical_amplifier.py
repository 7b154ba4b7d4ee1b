"""The simulated optical amplifier."""

from drivers.instruments import AmplifierLimits, OpticalAmplifier, Range
from sim_backend.instruments.parts import AmplifierPart
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument

__all__ = ["AMPLIFIER_LIMITS", "SimulatedOpticalAmplifier"]

AMPLIFIER_LIMITS = AmplifierLimits(
    gain_db=Range(lowest=0.0, highest=20.0), seed_power_w=Range(lowest=1e-6, highest=10e-3)
)


class SimulatedOpticalAmplifier(SimulatedInstrument, OpticalAmplifier):
    """A fibre amplifier in constant-gain mode with monitors of its input and output.

    Args:
        name: role in the bench.
        limits: what may be set, and the seed that is needed.
        remote: link to the instrument.
        part: the amplifier.
        settle_s: from a set to a steady output.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: AmplifierLimits,
        remote: RemoteControl,
        part: AmplifierPart,
        settle_s: float = 0.02,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._part = part
        self._settle_s = settle_s

    def _set_gain_db(self, gain_db: float) -> None:
        if self._remote.takes():
            self._part.set_gain_db(gain_db)
        self._remote.clock.sleep(self._settle_s)

    def _get_gain_db(self) -> float:
        self._remote.ask()
        return self._part.gain_db()

    def _get_seed_power(self) -> float:
        self._remote.ask()
        return self._part.seed_power_w()

    def _set_pump(self, on: bool) -> None:
        if self._remote.takes():
            self._part.pump_on = on
        self._remote.clock.sleep(self._settle_s)

    def _get_pump(self) -> bool:
        self._remote.ask()
        return self._part.pump_on

    def _get_output_power(self) -> float:
        self._remote.ask()
        return self._part.output_power_w()
