"""Thorlabs OSW12-E and OSW22-E optical switches.

Sets are not answered, and the answer to a query may be that of before for a while: what was set is
asked for until it is there. There is no serial number and no error report. Facts: PnPQ's driver,
tested on an OSW22-1310E, and qudi's; no maker's document was read.
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

__all__ = ["LINE", "MODELS", "OSWESettings", "ThorlabsOSWE"]

LINE = SerialSettings(baud=115200)
_END: Final = b"\n"
_LONGEST_ANSWER: Final = 256
_SETTLE_S: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class OSWESettings:
    """Which states the positions of the bench are.

    Args:
        light: state in which the light goes on: 1 is bar, 2 is cross.
        blocked: the other one, in which it goes nowhere: the safe position.
    """

    light: int = 1
    blocked: int = 2

    def __post_init__(self) -> None:
        if {self.light, self.blocked} != {1, 2}:
            raise ConfigurationError("light and blocked must be 1 and 2, in either order")


class ThorlabsOSWE(Wired, Switch):
    """A switch with two states, one of which leads to a beam dump.

    Args:
        name: role in the bench.
        limits: the positions `light` and `blocked`.
        link: to the switch.
        clock: for polling.
        settings: which states the positions are.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = _SETTLE_S + 0.5
    poll_interval_s = 0.1

    def __init__(
        self,
        name: str,
        *,
        limits: SwitchLimits,
        link: Link,
        clock: Clock | None = None,
        settings: OSWESettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        chosen = OSWESettings() if settings is None else settings
        self._states = {"light": chosen.light, "blocked": chosen.blocked}

    def _greet(self) -> Identity:
        return identify(self._link)

    def _select(self, position: str) -> None:
        """The kind reads the position back once; until then the old one may be answered."""
        with self._link.held():
            self._link.send(f"S {self._states[position]}".encode() + _END)
            self._poll(lambda: self._get_selected() == position, _SETTLE_S)

    def _get_selected(self) -> str:
        state = ask_state(self._link)
        return next(name for name, one in self._states.items() if one == state)


def ask_state(link: Link) -> int:
    """Ask for the state: 1 bar, 2 cross.

    Args:
        link: open.

    Raises:
        AnswerError: neither, twice.
        LinkError: see `Link.ask`.
    """

    def state(reader: Reader) -> int:
        text = reader.line(_END, _LONGEST_ANSWER).strip()
        if text not in (b"1", b"2"):
            raise garbled("the state 1 or 2", text)
        return int(text)

    return link.ask(b"S?" + _END, state)


def identify(link: Link) -> Identity:
    """Ask for the state, which shows that a switch answers, and for its name.

    The text of the name has no known form: it is kept as the firmware.

    Args:
        link: open.

    Raises:
        AnswerError: no state, or no text.
        LinkError: see `Link.ask`.
    """

    def name(reader: Reader) -> str:
        text = reader.line(_END, _LONGEST_ANSWER).strip()
        if not text or not text.isascii() or not text.decode("ascii").isprintable():
            raise garbled("the switch's name", text)
        return text.decode("ascii")

    with link.held():
        ask_state(link)
        return Identity(
            maker="Thorlabs", model="OSW-E", serial="", firmware=link.ask(b"I?" + _END, name)
        )


def _switch(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, SwitchLimits)
    return ThorlabsOSWE(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE, timeout_s=1.0),
        clock=context.clock,
        settings=own_settings(OSWESettings(), entry),
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Thorlabs {name}",
        backend="serial",
        kind=Switch,
        limits=SwitchLimits(positions=("light", "blocked"), safe_position="blocked"),
        make=_switch,
        confidence="medium-high",
        source="PnPQ's driver, tested on an OSW22-1310E, and qudi's",
        serial=LINE,
        probe=identify,
        settings={
            "light": "state that lets the light on: 1 bar, 2 cross (1)",
            "blocked": "state that leads nowhere, the safe position (2)",
        },
    )
    for name in ("OSW12-E", "OSW22-E")
)
