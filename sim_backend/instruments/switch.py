"""The simulated optical switch."""

from drivers.instruments import Switch, SwitchLimits
from sim_backend.instruments.remote import RemoteControl, SimulatedInstrument
from sim_backend.scene.path import LightSwitch

__all__ = ["SWITCH_LIMITS", "SimulatedSwitch"]

SWITCH_LIMITS = SwitchLimits(positions=("light", "blocked"), safe_position="blocked")

_TIME_CONSTANTS = 12.0
"""Settling of the amplitude that a selection waits for."""


class SimulatedSwitch(SimulatedInstrument, Switch):
    """A switch that answers when it has switched.

    Args:
        name: role in the bench.
        limits: the positions.
        remote: link to the instrument.
        switch: the component of the scene.
    """

    def __init__(
        self, name: str, *, limits: SwitchLimits, remote: RemoteControl, switch: LightSwitch
    ) -> None:
        super().__init__(name, limits=limits, clock=remote.clock)
        self._remote = remote
        self._switch = switch

    def _select(self, position: str) -> None:
        if self._remote.takes():
            self._switch.select(position)
        self._remote.clock.sleep(_TIME_CONSTANTS * self._switch.settings.settling_s)

    def _get_selected(self) -> str:
        self._remote.ask()
        return self._switch.selected()
