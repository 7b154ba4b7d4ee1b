"""The simulated optical amplifier."""

from collections.abc import Callable

from drivers.instruments import AmplifierLimits, OpticalAmplifier, Range
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.amplifier import OpticalAmplifierModel
from sim_backend.scene.light import PHOTON_ENERGY_J

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
        amplifier: component of the scene.
        seed_w: true power at the input now, in W.
        bandwidth_hz: in which the amplifier emits, for the output monitor.
        settle_s: from a set to a steady output.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: AmplifierLimits,
        remote: RemoteControl,
        amplifier: OpticalAmplifierModel,
        seed_w: Callable[[], float],
        bandwidth_hz: float = 4e12,
        settle_s: float = 0.02,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._amplifier = amplifier
        self._seed_w = seed_w
        self._bandwidth_hz = bandwidth_hz
        self._settle_s = settle_s

    def _set_gain_db(self, gain_db: float) -> None:
        if self._remote.takes():
            self._amplifier.set_gain_db(gain_db)
        self._remote.clock.sleep(self._settle_s)

    def _get_gain_db(self) -> float:
        self._remote.ask()
        return self._amplifier.gain_db()

    def _get_seed_power(self) -> float:
        self._remote.ask()
        return self._seed_w()

    def _set_pump(self, on: bool) -> None:
        if self._remote.takes():
            self._amplifier.pump = on
        self._remote.clock.sleep(self._settle_s)

    def _get_pump(self) -> bool:
        self._remote.ask()
        return self._amplifier.pump

    def _get_output_power(self) -> float:
        """G P + 2 n_sp (G - 1) h nu B: Desurvire, Erbium-Doped Fiber Amplifiers, section 2.4."""
        self._remote.ask()
        seed_w = self._seed_w()
        gain = self._amplifier.gain(seed_w)
        spontaneous = 2 * self._amplifier.settings.inversion * max(0.0, gain - 1)
        return gain * seed_w + spontaneous * PHOTON_ENERGY_J * self._bandwidth_hz
