"""Thorlabs MBX modulator bias controllers.

The instrument has no error report and no identity: what was set is read back, and a harmless query
tells that it is there. Sets are not answered. Facts: the exchanges of pymeasure's tests of its
ThorlabsMBXSeries; no maker's document was read.
"""

from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.errors import LimitError
from drivers.instruments import (
    BiasController,
    BiasLimits,
    BiasPoint,
    Clock,
    Identity,
    Instrument,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import Reader, garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["LINE", "MODELS", "ThorlabsMBX"]

LINE = SerialSettings(baud=115200)
_END = b"\r"
_MANUAL = 7
_MODES = {BiasPoint.PEAK: 1, BiasPoint.NULL: 2, BiasPoint.QUADRATURE: 3}
_HIGHEST_MODE = 9
_SETTLE_S = 0.5


class ThorlabsMBX(Wired, BiasController):
    """The bias of one Mach-Zehnder modulator: a voltage, or a dither loop.

    While a loop runs the voltage that is read is what the loop holds. The instrument takes whole
    millivolts.

    Args:
        name: role in the bench.
        limits: one channel of -10 to +10 V.
        link: to the box.
        clock: for polling.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 1.0
    poll_interval_s = 0.02
    voltage_tolerance_v: ClassVar[float] = 0.02

    def __init__(
        self,
        name: str,
        *,
        limits: BiasLimits,
        link: Link,
        clock: Clock | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)

    def _greet(self) -> Identity:
        return identify(self._link)

    def _set_voltage(self, channel: int, volts: float) -> None:
        del channel  # there is one
        millivolts = round(volts * 1e3)
        with self._link.held():
            self._order(f"MZM:HOLD:VOLTAGE: {millivolts}")
            if ask_number(self._link, "MZM:HOLD:VOLTAGE?") != millivolts:
                raise LimitError(
                    f"{self.name}: the instrument did not take a bias of {millivolts} mV; it is "
                    "beyond what it can do"
                )
            self._order(f"MZM:MODE: {_MANUAL}")
        self._await_voltage(volts)

    def _get_voltage(self, channel: int) -> float:
        del channel
        return ask_number(self._link, "MZM:VOLTAGE?")

    def _lock_to(self, channel: int, point: BiasPoint) -> None:
        del channel
        self._order(f"MZM:MODE: {_MODES[point]}")

    def _is_locked(self, channel: int) -> bool:
        del channel
        with self._link.held():
            locking = self._mode() in _MODES.values()
            return locking and ask_number(self._link, "MZM:SETPOINT?") == 1

    def _unlock(self, channel: int) -> None:
        with self._link.held():
            if self._mode() == _MANUAL:
                return
            # Manual mode goes to the voltage that was set last, so that is made the present one.
            present_v = self._get_voltage(channel)
            self._order(f"MZM:HOLD:VOLTAGE: {round(present_v * 1e3)}")
            self._order(f"MZM:MODE: {_MANUAL}")

    def _is_safe(self) -> bool:
        return self._mode() == _MANUAL and super()._is_safe()

    def _mode(self) -> int:
        return int(ask_number(self._link, "MZM:MODE?"))

    def _order(self, text: str) -> None:
        self._link.send(text.encode() + _END)

    def _await_voltage(self, volts: float) -> None:
        """The electrode follows its set point; the kind reads it back once."""
        until_s = self._clock.now() + _SETTLE_S
        while abs(self._get_voltage(0) - volts) > self.voltage_tolerance_v:
            if self._clock.now() >= until_s:
                return
            self._clock.sleep(self.poll_interval_s)


def ask_number(link: Link, query: str) -> float:
    """Ask for a number.

    Args:
        link: to the box.
        query: such as `MZM:MODE?`.

    Raises:
        AnswerError: no number, twice.
        LinkError: see `Link.ask`.
    """

    def number(reader: Reader) -> float:
        text = reader.line(_END).strip()
        try:
            value = float(text)
        except ValueError:
            raise garbled(f"a number after {query}", text) from None
        if not abs(value) < 1e6:
            raise garbled(f"a finite number after {query}", text)
        return value

    return link.ask(query.encode() + _END, number)


def identify(link: Link) -> Identity:
    """Ask for the bias mode, which no other instrument on a serial line knows.

    Args:
        link: open.

    Raises:
        AnswerError: no mode from 0 to 9.
        LinkError: see `Link.ask`.
    """
    mode = ask_number(link, "MZM:MODE?")
    if mode not in range(_HIGHEST_MODE + 1):
        raise garbled("a bias mode from 0 to 9", f"{mode}".encode())
    return Identity(maker="Thorlabs", model="MBX", serial="", firmware="")


def _bias(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, BiasLimits)
    own_settings(NoSettings(), entry)
    return ThorlabsMBX(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE, timeout_s=1.0),
        clock=context.clock,
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Thorlabs MBX",
        backend="serial",
        kind=BiasController,
        limits=BiasLimits(channels=1, volts=Range(lowest=-10.0, highest=10.0)),
        make=_bias,
        confidence="medium-high",
        source="the exchanges of pymeasure's ThorlabsMBXSeries",
        serial=LINE,
        probe=identify,
    ),
)
