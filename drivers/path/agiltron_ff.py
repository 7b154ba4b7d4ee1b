"""Agiltron FF 1x4 and 1x8 fibre switches: four bytes each way.

There is no identity, no error report and no checksum. Facts: QMI's driver and its tests; no maker's
document was read.
"""

from dataclasses import dataclass
from typing import Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.errors import ConfigurationError
from drivers.instruments import Clock, Identity, Instrument, Switch, SwitchLimits
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired

__all__ = ["LINE", "MODELS", "AgiltronFF", "FFSettings"]

LINE = SerialSettings(baud=9600)
_PACKET_BYTES: Final = 4
_SET: Final = bytes((0x01, 0x12, 0x00))
_ASK: Final = bytes((0x01, 0x11, 0x00, 0x00))
_OUTPUTS: Final = {"FF1x4": 4, "FF1x8": 8}


@dataclass(frozen=True, kw_only=True)
class FFSettings:
    """Which outputs the positions of the bench are.

    Args:
        light: output that lets the light on, from 1.
        blocked: output that leads nowhere: the safe position.
    """

    light: int = 1
    blocked: int = 2

    def __post_init__(self) -> None:
        if self.light == self.blocked:
            raise ConfigurationError("light and blocked must be different outputs")


class AgiltronFF(Wired, Switch):
    """A 1xN switch, one output of which is a beam dump.

    Args:
        name: role in the bench.
        limits: the positions `light` and `blocked`.
        link: to the switch.
        clock: for polling.
        outputs: how many there are.
        settings: which outputs the positions are.
        simulated: whether an emulator answers.

    Raises:
        ConfigurationError: there is no such output.
    """

    safe_deadline_s = 0.5
    poll_interval_s = 0.02

    def __init__(
        self,
        name: str,
        *,
        limits: SwitchLimits,
        link: Link,
        clock: Clock | None = None,
        outputs: int = 4,
        settings: FFSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        chosen = FFSettings() if settings is None else settings
        self._positions = {"light": chosen.light, "blocked": chosen.blocked}
        self._outputs = outputs
        for position, output in self._positions.items():
            if not 1 <= output <= outputs:
                raise ConfigurationError(
                    f"{name}: settings.{position} is {output}; the switch has outputs 1 to "
                    f"{outputs}"
                )

    def _greet(self) -> Identity:
        """The switch cannot say who it is: an answer in its form has to do."""
        self._output()
        return Identity(maker="Agiltron", model="FF", serial="", firmware="")

    def _select(self, position: str) -> None:
        packet = _SET + bytes([self._positions[position]])

        def echo(reader: Reader) -> None:
            said = reader.exactly(_PACKET_BYTES)
            if said != packet:
                raise garbled(f"the echo {packet.hex(' ')}", said)

        self._link.order(packet, echo)

    def _get_selected(self) -> str:
        output = self._output()
        return next(
            (name for name, one in self._positions.items() if one == output), f"output {output}"
        )

    def _output(self) -> int:
        """The output by readback; of the answer only the last byte is known for sure."""

        def output(reader: Reader) -> int:
            said = reader.exactly(_PACKET_BYTES)
            if not 1 <= said[-1] <= self._outputs:
                raise garbled(f"four bytes with an output from 1 to {self._outputs} last", said)
            return said[-1]

        return self._link.ask(_ASK, output)


def _switch(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, SwitchLimits)
    return AgiltronFF(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE, timeout_s=1.0),
        clock=context.clock,
        outputs=_OUTPUTS[entry.model.removeprefix("Agiltron ")],
        settings=own_settings(FFSettings(), entry),
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Agiltron {name}",
        backend="serial",
        kind=Switch,
        limits=SwitchLimits(positions=("light", "blocked"), safe_position="blocked"),
        make=_switch,
        confidence="medium",
        source="QMI's driver and its tests",
        serial=LINE,
        settings={
            "light": f"output that lets the light on, 1 to {outputs} (1)",
            "blocked": "output that leads nowhere, the safe position (2)",
        },
    )
    for name, outputs in _OUTPUTS.items()
)
