"""The simulated variable attenuator with its shutter."""

from typing import ClassVar

from drivers.errors import ConfigurationError
from drivers.instruments import Attenuator, AttenuatorLimits, Range
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.path import VariableAttenuator

__all__ = ["ATTENUATOR_LIMITS", "SimulatedAttenuator"]

ATTENUATOR_LIMITS = AttenuatorLimits(attenuation_db=Range(lowest=0.0, highest=100.0))

_TIME_CONSTANTS = 12.0
"""Settling that a set waits for: exp(-12) of 100 dB is below a thousandth of a dB."""


class SimulatedAttenuator(SimulatedInstrument, Attenuator):
    """An attenuator that answers when its filter stands still; the shutter acts at once.

    Args:
        name: role in the bench.
        limits: what may be set.
        remote: link to the instrument.
        attenuator: the component of the scene.

    Raises:
        ConfigurationError: the limits go beyond what the component can do.
    """

    safe_deadline_s: ClassVar[float] = 1.0

    def __init__(
        self,
        name: str,
        *,
        limits: AttenuatorLimits,
        remote: RemoteControl,
        attenuator: VariableAttenuator,
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        highest_db = attenuator.settings.highest_db
        if limits.attenuation_db.highest > highest_db:
            raise ConfigurationError(
                f"{name}: attenuation of {limits.attenuation_db.highest} dB is beyond the "
                f"{highest_db} dB of the scene's attenuator; narrow the limits"
            )
        self._remote = remote
        self._attenuator = attenuator

    def _set_attenuation_db(self, attenuation_db: float) -> None:
        if self._remote.takes():
            self._attenuator.set_attenuation_db(attenuation_db)
        self._remote.clock.sleep(_TIME_CONSTANTS * self._attenuator.settings.settling_s)

    def _get_attenuation_db(self) -> float:
        self._remote.ask()
        return self._attenuator.attenuation_db()

    def _set_shutter(self, open_: bool) -> None:
        if self._remote.takes():
            self._attenuator.shutter_open = open_

    def _get_shutter(self) -> bool:
        self._remote.ask()
        return self._attenuator.shutter_open
