"""Keysight N7731A, N7732A, N7733A and N7734A optical switches.

Source: Keysight N77xx Series Programming Guide, 7th edition, ROUTe commands.
"""

import re
from dataclasses import dataclass

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_n77xx import N77xx
from drivers.errors import ConfigurationError
from drivers.instruments import Clock, Identity, Instrument, Switch, SwitchLimits
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "KeysightN773x", "N773xSettings"]

_SETTLE_S = 1.0
_ROUTE = re.compile(r"([A-Z]),(\d+)(?:;[A-Z],\d+)*")
_POSITIONS = ("light", "blocked")


@dataclass(frozen=True, kw_only=True)
class N773xSettings:
    """Which outputs the positions of the bench are.

    Args:
        light: output that lets the light on.
        blocked: output that leads nowhere: the safe position.
    """

    light: int = 1
    blocked: int = 2

    def __post_init__(self) -> None:
        if self.light == self.blocked:
            raise ConfigurationError("light and blocked must be different outputs")


class KeysightN773x(Wired, Switch):
    """A 1xN switch, one output of which is a beam dump.

    Args:
        name: role in the bench.
        limits: the positions `light` and `blocked`.
        link: to the box.
        clock: for polling.
        channel: switch in the box.
        settings: which outputs the positions are.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 0.5

    def __init__(
        self,
        name: str,
        *,
        limits: SwitchLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: N773xSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        chosen = N773xSettings() if settings is None else settings
        self._outputs = {"light": chosen.light, "blocked": chosen.blocked}
        self._channel = channel
        self._box = N77xx(name, link, self._clock, "N773[1-4]A")

    def _greet(self) -> Identity:
        return self._box.greet()

    def _select(self, position: str) -> None:
        self._box.scpi.set(f":ROUT{self._channel} A,{self._outputs[position]}")
        self._box.wait_idle(_SETTLE_S)

    def _get_selected(self) -> str:
        answer = self._box.scpi.query(f":ROUT{self._channel}?")
        found = _ROUTE.fullmatch(answer.strip())
        if found is None:
            raise garbled("a route such as A,1", answer.encode())
        output = int(found[2])
        return next(
            (name for name, one in self._outputs.items() if one == output), f"output {output}"
        )


def _switch(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, SwitchLimits)
    return KeysightN773x(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(N773xSettings(), entry),
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Switch,
        limits=SwitchLimits(positions=_POSITIONS, safe_position="blocked"),
        make=_switch,
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{name}",
        channels=channels,
        source="Keysight N77xx Series Programming Guide, 7th edition",
        settings={
            "light": "output that lets the light on (1)",
            "blocked": "output that leads nowhere, the safe position (2)",
        },
    )
    for name, channels in (("N7731A", 2), ("N7732A", 1), ("N7733A", 1), ("N7734A", 1))
)
