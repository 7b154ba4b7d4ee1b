"""Qontrol Q8iv drivers of phase shifters: eight outputs per module, modules in a chain.

All outputs of a role are set by one message, a frame or, for firmware from before there were
frames, a line of text. Their voltages are measured by the modules; that the query gives the
measured voltage and not the set point is not confirmed by the maker. Source: see
`drivers.dialects.qontrol`.
"""

import logging
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.qontrol import MOST_CHANNELS, Answer, Expected, ask, order, voltage_frame
from drivers.errors import ConfigurationError, InstrumentError, LimitError, LinkTimeoutError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    PhaseDriver,
    PhaseDriverLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["LINE", "MODELS", "Q8ivSettings", "QontrolQ8iv", "identify"]

_LOG = logging.getLogger("veilight.instruments")

LINE = SerialSettings(baud=115200)
_PER_MODULE: Final = 8
_FULL_SCALE_V: Final = 12.0
_SETTLE_S: Final = 0.012
"""1 ms electrical and 10 ms thermal."""
_LINE_S: Final = 1.5e-3
"""A line of an answer at 115200 baud, with what a module needs to measure."""
_PER_LINE_S: Final = 0.05
"""Longest time to the next line."""
_ANSWER_S: Final = 0.5
_VOLTS: Final = re.compile(rb"[+-]?\d{1,3}(\.\d{1,6})? ?V")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_ID: Final = re.compile(rb"([A-Z]\d+[a-z]*)-([\w*]+)")
_MODULE: Final = re.compile(rb"([A-Z]\d+[a-z]*)-([\w*]+):(\d{1,3})")


@dataclass(frozen=True, kw_only=True)
class Q8ivSettings:
    """The chain, and the part of it that a role uses.

    Args:
        modules: how many there are in the chain.
        outputs: how many the role uses, from its channel on; 0 for all.
        binary: whether outputs are set by a frame; old firmware knows only text.
    """

    modules: int = 1
    outputs: int = 0
    binary: bool = True

    def __post_init__(self) -> None:
        most = MOST_CHANNELS // _PER_MODULE
        if not 1 <= self.modules <= most:
            raise ConfigurationError(f"modules is {self.modules}; it must be 1 to {most}")
        if not 0 <= self.outputs <= self.chain:
            raise ConfigurationError(
                f"outputs is {self.outputs}; it must be 0 to {self.chain}, which {self.modules} "
                "modules have"
            )

    @property
    def chain(self) -> int:
        """Outputs of the whole chain."""
        return self.modules * _PER_MODULE

    def used(self, channel: int) -> int:
        """Outputs that a role uses.

        Args:
            channel: its first, from 1.

        Raises:
            ConfigurationError: the chain has not so many.
        """
        left = self.chain - (channel - 1)
        if left < max(1, self.outputs):
            raise ConfigurationError(
                f"channel is {channel} and outputs {self.outputs}; {self.modules} modules have "
                f"{self.chain} outputs"
            )
        return self.outputs or left


class QontrolQ8iv(Wired, PhaseDriver):
    """Consecutive outputs of a chain of Q8iv modules, at a voltage each.

    An output that trips (over-current or over-voltage) is named, and the role is made safe. A chain
    that was switched on anew has lost all set points; that is found by its report (E90) and by the
    readback.

    Args:
        name: role in the bench.
        limits: as many channels as the role uses outputs; 0 to 12 V.
        link: to the chain, chatty.
        clock: for settling.
        channel: number of the first output that the role uses, from 1.
        settings: the chain.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 5.0
    poll_interval_s = 0.02
    voltage_tolerance_v: ClassVar[float] = 0.05

    def __init__(
        self,
        name: str,
        *,
        limits: PhaseDriverLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: Q8ivSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._settings = Q8ivSettings(modules=1) if settings is None else settings
        used = replace(self._settings, outputs=limits.channels).used(channel)
        self._outputs = slice(channel - 1, channel - 1 + used)
        self._full_scale_v = _FULL_SCALE_V

    def _greet(self) -> Identity:
        """The chain must be of as many Q8iv modules as the bench file says."""
        self._link.discard()
        identity = identify(self._link)
        refuse_stranger(self.name, identity, "Qontrol,Q8iv$", "Qontrol Q8iv")
        self._count_modules()
        answer = ask(self._link, "vfull?", Expected(form=_VOLTS, what="the full scale"))
        self._full_scale_v = _value(answer.lines[0]) if answer.lines else 0.0
        if not 0 < self._full_scale_v <= _FULL_SCALE_V:
            raise InstrumentError(
                f"{self.name}: says that its full scale is {self._full_scale_v} V; a Q8iv has "
                f"{_FULL_SCALE_V} V"
            )
        return identity

    def _set_voltages(self, volts: NDArray[np.float64]) -> None:
        self._raise_trips(self._send(volts))

    def _get_voltages(self) -> NDArray[np.float64]:
        answer, volts = self._measure()
        self._raise_trips(answer)
        return volts

    def _hurried(self, hurry_s: float | None) -> AbstractContextManager[None]:
        """Every output has a line in the readback, which a long chain needs more time for."""
        more_s = self._settings.chain * _LINE_S
        return super()._hurried(None if hurry_s is None else hurry_s + more_s)

    def _make_safe(self) -> None:
        """A trip that is reported meanwhile must not stand in the way."""
        self._log_trips(self._send(np.zeros(self._limits.channels)))

    def _is_safe(self) -> bool:
        answer, volts = self._measure()
        self._log_trips(answer)
        return bool(np.all(np.abs(volts) <= self.voltage_tolerance_v))

    def _send(self, volts: NDArray[np.float64]) -> Answer:
        if volts.max() > self._full_scale_v:
            raise LimitError(
                f"{self.name}: {volts.max()} V is above the chain's full scale of "
                f"{self._full_scale_v} V; lower the voltages"
            )
        first = self._outputs.start
        if self._settings.binary:
            answer = order(self._link, voltage_frame(first, volts, self._full_scale_v))
        else:
            listed = ",".join(f"{one:.4f}" for one in volts)
            answer = order(self._link, f"vVEC{first}={listed}")
        self._clock.sleep(_SETTLE_S)
        return answer

    def _measure(self) -> tuple[Answer, NDArray[np.float64]]:
        """All voltages of the chain are asked for at once; those of the role's outputs."""
        chain = self._settings.chain
        expected = Expected(form=_VOLTS, count=chain, what="a voltage of every output")
        answer = ask(self._link, "vall?", expected, _ANSWER_S + chain * _PER_LINE_S)
        if len(answer.lines) < chain:
            self._raise_trips(answer)
        volts = np.array([_value(line) for line in answer.lines], dtype=np.float64)
        return answer, volts[self._outputs]

    def _count_modules(self) -> None:
        """Read as many lines as modules are expected: nothing marks the end of this answer."""
        wanted = self._settings.modules
        expected = Expected(form=_MODULE, count=wanted, what="a module of the chain")
        try:
            found = ask(self._link, "nupall?", expected, _ANSWER_S + wanted * _PER_LINE_S)
        except LinkTimeoutError as error:
            # What is missing may as well be a late line, so the count is not taken from the answer.
            raise InstrumentError(
                f"{self.name}: fewer modules answer than settings.modules = {wanted}; count them, "
                "and look at the supply of the chain"
            ) from error
        self._clock.sleep(_PER_LINE_S)
        if self._link.discard():
            raise InstrumentError(
                f"{self.name}: more modules answer than settings.modules = {wanted}; count them"
            )
        for line in found.lines:
            if not line.startswith("Q8iv-"):
                raise InstrumentError(
                    f"{self.name}: module {line!r} is in the chain; only Q8iv are known, with "
                    f"{_FULL_SCALE_V} V and {_PER_MODULE} outputs"
                )

    def _raise_trips(self, answer: Answer) -> None:
        if answer.trips:
            raise InstrumentError(
                f"{self.name}: {'; '.join(answer.trips)}; look at what is connected there before "
                "setting it again"
            )

    def _log_trips(self, answer: Answer) -> None:
        for trip in answer.trips:
            _LOG.warning("%s: %s", self.name, trip)


def identify(link: Link) -> Identity:
    """Ask the first module who it is.

    Args:
        link: open, chatty.

    Raises:
        AnswerError: no type and number.
        RefusedError: the device does not know the question.
        LinkError: see `Link.ask`.
    """
    answer = ask(link, "id?", Expected(form=_ID, what="a type and a number"))
    if not answer.lines:
        raise garbled("a type and a number", "; ".join(answer.trips).encode())
    model, _, serial = answer.lines[0].partition("-")
    known = "" if "*" in serial else serial
    return Identity(maker="Qontrol", model=model, serial=known, firmware="")


def _value(line: str) -> float:
    found = _NUMBER.match(line)
    assert found is not None  # the line has the form
    return float(found[0])


def _driver(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PhaseDriverLimits)
    settings = own_settings(Q8ivSettings(), entry)
    return QontrolQ8iv(
        entry.role,
        limits=replace(context.limits, channels=settings.used(entry.channel)),
        link=context.links.link(entry, serial=LINE, timeout_s=_ANSWER_S, chatty=True),
        clock=context.clock,
        channel=entry.channel,
        settings=settings,
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Qontrol Q8iv",
        backend="serial",
        kind=PhaseDriver,
        limits=PhaseDriverLimits(
            channels=_PER_MODULE, volts=Range(lowest=0.0, highest=_FULL_SCALE_V)
        ),
        make=_driver,
        confidence="medium",
        identity=r"Qontrol,Q8iv",
        channels=MOST_CHANNELS,
        source="takeqontrol/api 1.1.20 and its guide; what a module does after a trip is not known",
        serial=LINE,
        probe=identify,
        settings={
            "modules": "modules in the chain, eight outputs each (1)",
            "outputs": "outputs that the role uses from its channel on; 0 for all (0)",
            "binary": "whether outputs are set by a frame; old firmware knows only text (true)",
        },
    ),
)
