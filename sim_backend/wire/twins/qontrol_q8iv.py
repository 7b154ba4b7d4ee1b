"""Twin of a chain of Qontrol Q8iv modules with a resistor at every output."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import PhasePart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.qontrol import Command, Message, parse_frame, parse_line
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "QontrolTwin"]

_PER_MODULE: Final = 8
_FULL_V: Final = 12.0
_FULL_MA: Final = 24.0
_CONVERTER_V: Final = _FULL_V / 4095
_CONVERTER_MA: Final = _FULL_MA / 4095
_ANSWER_S: Final = 1e-3
_LINE_S: Final = 1e-3
_LONGEST_LINE: Final = 4096
_OVER_VOLTAGE, _OVER_CURRENT = 1, 2
_UNKNOWN, _BAD_VALUE, _BAD_CHANNEL, _OVERFLOW = 10, 11, 12, 14
_POWERED_UP: Final = 90


class QontrolTwin(Twin):
    """Voltages on resistors; an output that is over its limit trips and reports it unasked.

    Args:
        clock: simulated time.
        serial: of the first module; the others have a number behind it.
        parts: shifters of the scene by the number, from 1, of the first output that drives them.
        modules: in the chain.
        load_ohm: of every output.
        drops: whether an output that trips goes to 0 V; else it stays as it was.
        says_hello: whether it reports that it was switched on to whoever connects first.
        rng: noise of the converter that measures; None for none.
    """

    line = SerialSettings(baud=115200)

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str = "SIM123",
        parts: Mapping[int, PhasePart] | None = None,
        modules: int = 1,
        load_ohm: float = 1000.0,
        drops: bool = True,
        says_hello: bool = False,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.model = "Qontrol Q8iv"
        self.clock = clock
        self.channels = modules * _PER_MODULE
        self._serial = serial
        self._parts = {} if parts is None else dict(parts)
        self._modules = modules
        self._load_ohm = np.full(self.channels, load_ohm)
        self._drops = drops
        self._hello = says_hello
        self._rng = rng
        self._lines: list[_Line] = []
        self._volts: NDArray[np.float64] = np.zeros(self.channels)
        self._limits: dict[str, NDArray[np.float64]] = {}
        self._set_limits()
        self._drive()

    def session(self) -> Session:
        """See `Twin.session`."""
        line = _Line(self)
        self._lines.append(line)
        if self._hello:
            self._hello = False
            line.say_line(f"E{_POWERED_UP}:00")
        return line

    def volts(self) -> NDArray[np.float64]:
        """What the outputs give, in V, shape (channels,)."""
        return self._volts.copy()

    def switch_off_and_on(self) -> None:
        """All set points go, and it is reported."""
        self._volts[:] = 0
        self._set_limits()
        self._drive()
        self.report(_POWERED_UP, 0)

    def set_load(self, channel: int, ohm: float) -> None:
        """Another resistor at an output, from 0; it trips where that draws too much."""
        self._load_ohm[channel] = ohm
        self._look(channel)
        self._drive()

    def report(self, number: int, channel: int) -> None:
        """An error to everyone who listens, unasked."""
        for line in self._lines:
            line.say_line(f"E{number:02d}:{channel:02d}")

    def leave(self, line: "_Line") -> None:
        """A connection was closed."""
        if line in self._lines:
            self._lines.remove(line)

    def answer(self, message: Message) -> list[str]:
        """The lines that a message is answered with; errors after a set come unasked."""
        if message.error is not None:
            return [f"E{message.error:02d}:{message.channel or 0:02d}"]
        if message.command is Command.UNKNOWN:
            return [f"E{_UNKNOWN:02d}:00"]
        if not 0 <= message.channel < self.channels:
            return [f"E{_BAD_CHANNEL:02d}:{message.channel:02d}"]
        if message.asks:
            return self._said(message)
        if message.command in (Command.V, Command.I, Command.VMAX, Command.IMAX):
            return self._set(message)
        return ["OK"]

    def _said(self, message: Message) -> list[str]:
        chosen = range(self.channels) if message.every else [message.channel]
        measured: dict[Command, Callable[[int], str]] = {
            Command.V: lambda channel: f"{self._measured_v(channel):+.3f} V",
            Command.I: lambda channel: f"{self._measured_ma(channel):+.2f} mA",
            Command.VMAX: lambda channel: f"{self._limits['v'][channel]:+.3f} V",
            Command.IMAX: lambda channel: f"{self._limits['i'][channel]:+.2f} mA",
            Command.VIP: self._all_three,
        }
        if message.command in measured:
            return [measured[message.command](channel) for channel in chosen]
        if message.command is Command.NUP:
            return [f"{self._name(one)}:{one * _PER_MODULE}" for one in range(self._modules)]
        plain = {
            Command.VFULL: f"+{_FULL_V:.3f} V",
            Command.IFULL: f"{_FULL_MA:g} mA",
            Command.NCHAN: str(self.channels),
            Command.ID: self._name(0),
            Command.FIRMWARE: "1.0.0",
            Command.LIFETIME: "1000",
        }
        return [plain.get(message.command, "OK")]

    def _name(self, module: int) -> str:
        return f"Q8iv-{self._serial}{module if module else ''}"

    def _all_three(self, channel: int) -> str:
        volts, amperes = self._measured_v(channel), self._measured_ma(channel)
        return f"{volts:+.3f} V, {amperes:+.2f} mA, {volts * amperes:+.2f} mW"

    def _set(self, message: Message) -> list[str]:
        full = _FULL_V if message.command in (Command.V, Command.VMAX) else _FULL_MA
        factor = full if message.scaled else 1.0
        values = [value * factor for value in message.values]
        if any(not 0 <= value <= full for value in values) or not values:
            return [f"E{_BAD_VALUE:02d}:{message.channel:02d}"]
        if message.every:
            values = [values[0]] * self.channels
        first = 0 if message.every else message.channel
        if first + len(values) > self.channels:
            return [f"E{_BAD_CHANNEL:02d}:{self.channels:02d}"]
        touched = range(first, first + len(values))
        for channel, value in zip(touched, values, strict=True):
            if message.command is Command.V:
                self._volts[channel] = _quantised(value)
            elif message.command is Command.I:
                drop_v = value / 1e3 * self._load_ohm[channel]
                self._volts[channel] = min(drop_v, self._limits["v"][channel])
            else:
                self._limits["v" if message.command is Command.VMAX else "i"][channel] = value
        for channel in touched:
            self._look(channel)
        self._drive()
        return ["OK"]

    def _look(self, channel: int) -> None:
        """Trip where an output is over one of its limits."""
        current_ma = self._volts[channel] / self._load_ohm[channel] * 1e3
        if self._volts[channel] > self._limits["v"][channel]:
            number = _OVER_VOLTAGE
        elif current_ma > self._limits["i"][channel]:
            number = _OVER_CURRENT
        else:
            return
        if self._drops:
            self._volts[channel] = 0.0
        self.report(number, channel)

    def _measured_v(self, channel: int) -> float:
        return self._seen(self._volts[channel], _CONVERTER_V)

    def _measured_ma(self, channel: int) -> float:
        return self._seen(self._volts[channel] / self._load_ohm[channel] * 1e3, _CONVERTER_MA)

    def _seen(self, value: float, step: float) -> float:
        noise = 0.0 if self._rng is None else float(self._rng.standard_normal())
        return round(value / step + noise) * step

    def _set_limits(self) -> None:
        self._limits = {
            "v": np.full(self.channels, _FULL_V),
            "i": np.full(self.channels, _FULL_MA),
        }

    def _drive(self) -> None:
        for first, part in self._parts.items():
            volts = np.zeros(part.channels)
            reached = self._volts[first - 1 : first - 1 + part.channels]
            volts[: len(reached)] = reached
            part.set_voltages(volts)


class _Line(Session):
    """The serial line: a byte above 0x7F begins a frame, anything else a line of text."""

    def __init__(self, twin: QontrolTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        self._input += data
        while self._input:
            if self._input[0] & 0x80:
                found = parse_frame(self._input, self._twin.channels)
                if found is None:
                    return
                message, taken = found
            else:
                end = self._input.find(b"\n")
                if end < 0:
                    if len(self._input) > _LONGEST_LINE:
                        self._input = b""
                        self.say_line(f"E{_OVERFLOW:02d}:01")
                    return
                message, taken = parse_line(self._input[:end]), end + 1
            self._input = self._input[taken:]
            for place, line in enumerate(self._twin.answer(message)):
                self.say_line(line, after_s=_ANSWER_S + place * _LINE_S)

    def say_line(self, text: str, *, after_s: float = 0.0) -> None:
        """Say a line."""
        self.say(f"{text}\n".encode("ascii"), after_s=after_s)

    def close(self) -> None:
        """See `Session.close`."""
        super().close()
        self._twin.leave(self)


def _quantised(volts: float) -> float:
    return float(np.floor(volts / _FULL_V * 65535 + 1e-9) / 65535 * _FULL_V)


def _make(place: TwinPlace) -> Twin:
    parts = {first: part for first, part in place.parts.items() if isinstance(part, PhasePart)}
    needed = max((first - 1 + part.channels for first, part in parts.items()), default=1)
    said = [own.get("modules") for own in place.settings.values()]
    modules = max([*(one for one in said if isinstance(one, int)), 0])
    seed = int.from_bytes(place.serial.encode()[-8:], "big")
    return QontrolTwin(
        clock=place.clock,
        serial=place.serial,
        parts=parts,
        modules=modules or -(-needed // _PER_MODULE),
        rng=np.random.default_rng(seed),
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Qontrol Q8iv": _make}
