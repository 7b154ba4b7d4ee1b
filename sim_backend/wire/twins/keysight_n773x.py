"""Twins of the Keysight N7731A, N7732A, N7733A and N7734A optical switches."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.path import LightSwitch
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin
from sim_backend.wire.scpi_session import Call, Complaint, Handler
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "KeysightN773xTwin"]

_OUTPUTS: Final = {"N7731A": 4, "N7732A": 4, "N7733A": 7, "N7734A": 13}
_SWITCHES: Final = {"N7731A": 2, "N7732A": 1, "N7733A": 1, "N7734A": 1}
_SWITCHING_S = 10e-3
_REFUSED = Complaint(-220, "Parameter error (StatParamError)")


class KeysightN773xTwin(N77xxTwin):
    """A box with one or two 1xN switches; one output of each lets the scene's light on.

    Args:
        model: such as `N7731A`.
        clock: simulated time.
        serial: serial number.
        switches: of the scene, by number in the box.
        lit: output that lets the light on, by number in the box; all others block it.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        switches: Mapping[int, LightSwitch],
        lit: Mapping[int, int],
    ) -> None:
        count = _SWITCHES[model]
        super().__init__(model=model, serial=serial, clock=clock, slots=tuple([model] * count))
        self._switches = dict(switches)
        self._lit = dict(lit)
        self._last = _OUTPUTS[model]
        self._routes = dict.fromkeys(range(1, count + 1), 1)
        self.preset()

    def preset(self) -> None:
        """All switches to their first output."""
        for number in self._routes:
            self._go(number, 1)

    def table(self) -> Mapping[str, Handler]:
        """See `N77xxTwin.table`."""
        return {
            ":ROUTe#[:CHANnel#]": self._route,
            ":ROUTe#[:CHANnel#]?": lambda call: f"A,{self._routes[self._number(call)]}",
            ":ROUTe#:CONFig?": lambda call: f"A,A;1,{self._configured(call)}",
            ":ROUTe#:CONFig:ROUTe?": self._all_routes,
        }

    def _route(self, call: Call) -> None:
        number = self._number(call)
        if len(call.arguments) != 2 or call.argument(0).upper() != "A":
            raise _REFUSED
        if re.fullmatch(r"\+?\d{1,4}", call.argument(1)) is None:
            raise _REFUSED
        output = int(call.argument(1))
        if not 1 <= output <= self._last:
            raise _REFUSED
        self._go(number, output)
        self.keep_busy(number, _SWITCHING_S)

    def _go(self, number: int, output: int) -> None:
        self._routes[number] = output
        switch = self._switches.get(number)
        if switch is not None:
            switch.select("light" if output == self._lit.get(number, 1) else "blocked")

    def _number(self, call: Call) -> int:
        return self.need_slot(call.suffixes[0], tuple(self._routes))

    def _configured(self, call: Call) -> int:
        self._number(call)
        return self._last

    def _all_routes(self, call: Call) -> str:
        self._number(call)
        return ".".join(f"A,{output}" for output in range(1, self._last + 1))


def _make(model: str, place: TwinPlace) -> Twin:
    lit = {number: own.get("light", 1) for number, own in place.settings.items()}
    return KeysightN773xTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        switches={n: part for n, part in place.parts.items() if isinstance(part, LightSwitch)},
        lit={number: one for number, one in lit.items() if isinstance(one, int)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _OUTPUTS
}
