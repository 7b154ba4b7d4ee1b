"""Twins of the Keysight N7744A and N7745A power meters."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from sim_backend.instruments.parts import PowerPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin
from sim_backend.wire.dialects.keysight_n77xx_meter import MeterInputs
from sim_backend.wire.scpi_session import Call, Handler
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "KeysightN7744ATwin"]

_INPUTS: Final = {"N7744A": 4, "N7745A": 8}


class KeysightN7744ATwin(N77xxTwin):
    """A box with four or eight inputs.

    Args:
        model: such as `N7744A`.
        clock: simulated time.
        serial: serial number.
        sensors: of the scene, by number of the input.
    """

    def __init__(
        self, *, model: str, clock: SimulatedClock, serial: str, sensors: Mapping[int, PowerPart]
    ) -> None:
        count = _INPUTS[model]
        super().__init__(model=model, serial=serial, clock=clock, slots=tuple([model] * count))
        self._slots_used = tuple(range(1, count + 1))
        self._inputs = MeterInputs(self, sensors, self._slots_used)

    def preset(self) -> None:
        """See `N77xxTwin.preset`."""
        self._inputs.preset()

    def table(self) -> Mapping[str, Handler]:
        """See `N77xxTwin.table`."""
        return {
            ":READ#[:CHANnel#]:POWer?": lambda call: self._inputs.read(self._at(call), fresh=True),
            ":FETCh#[:CHANnel#]:POWer?": lambda call: self._inputs.read(
                self._at(call), fresh=False
            ),
            **self._inputs.table(),
        }

    def _at(self, call: Call) -> int:
        return self.need_slot(call.suffixes[0], self._slots_used)


def _make(model: str, place: TwinPlace) -> Twin:
    return KeysightN7744ATwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        sensors={n: part for n, part in place.parts.items() if isinstance(part, PowerPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _INPUTS
}
