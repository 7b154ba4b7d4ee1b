"""Twin of the Keysight M8195A arbitrary waveform generator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import Trigger
from sim_backend.instruments.parts import GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.trigger_pulse import play
from sim_backend.wire.scpi_session import (
    Answer,
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    ScpiSession,
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "KeysightM8195ATwin"]

_CHANNELS: Final = (1, 2, 3, 4)
_LEAST = 1280
_MEMORY = 1 << 28
_SLOW_S = 2.0
_PULSE_CODE = 64
"""A segment that reaches it is a pulse for who listens to the output."""
_UNITS = {"HZ": 1.0, "MHZ": 1e6, "GHZ": 1e9, "V": 1.0, "MV": 1e-3}
_MODES = {one: one for one in ("SINGle", "DUAL", "FOUR", "MARKer", "DCDuplicate", "DCMarker")}
_OUT_OF_RANGE = Complaint(-222, "Data out of range")


@dataclass
class _Channel:
    """An output with its segments.

    Args:
        part: of the scene; None where nothing is connected.
    """

    part: GeneratorPart | None = None
    segments: dict[int, NDArray[np.int8]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    selected: int = 1
    volts_pp: float = 0.5
    offset_v: float = 0.0
    on: bool = False
    memory: str = "EXT"
    _cached: tuple[NDArray[np.int8], float, float, NDArray[np.float32]] | None = None

    def codes(self) -> NDArray[np.int8]:
        """The selected segment; a single 0 where there is none."""
        return self.segments.get(self.selected, np.zeros(1, dtype=np.int8))

    def volts(self) -> NDArray[np.float32]:
        """The selected segment in V, float32, shape (samples,)."""
        codes, cached = self.codes(), self._cached
        key = (self.volts_pp, self.offset_v)
        if cached is not None and cached[0] is codes and cached[1:3] == key:
            return cached[3]
        values = codes.astype(np.float32)
        values *= np.float32(self.volts_pp / 2 / 127)
        values += np.float32(self.offset_v)
        self._cached = (codes, self.volts_pp, self.offset_v, values)
        return values

    def level_v(self) -> float:
        """The first point of the selected segment in V."""
        return int(self.codes()[0]) / 127 * self.volts_pp / 2 + self.offset_v

    def write(self, segment: NDArray[np.int8], begin: int, data: bytes) -> None:
        """Change a part of a segment."""
        segment[begin : begin + len(data)] = np.frombuffer(data, dtype=np.int8)
        self._cached = None


class KeysightM8195ATwin(Twin):
    """A module with its front panel program running.

    Args:
        clock: simulated time.
        serial: serial number.
        parts: of the scene, by output.
    """

    model = "M8195A"

    def __init__(
        self, *, clock: SimulatedClock, serial: str, parts: Mapping[int, GeneratorPart]
    ) -> None:
        self.errors = ErrorQueue(size=30, empty='0,"No error"', plus=False)
        self.channels = {number: _Channel(part=parts.get(number)) for number in _CHANNELS}
        self.plays = 0
        self._clock = clock
        self._serial = serial
        self._mode = "SINGLE"
        self._divider = 1
        self._clock_hz = 64e9
        self._continuous = True
        self._gated = False
        self._running = False
        self._ready_s = 0.0
        self._level_v = 0.0
        self._slope = "POS"
        self._apply()

    def session(self) -> Session:
        """See `Twin.session`."""
        table = {**self._box(), **self._traces(), **self._levels()}
        return ScpiSession(
            self._clock,
            {name: self._applied(one) for name, one in table.items()},
            self.errors,
            complete=lambda: self._clock.now() >= self._ready_s - 1e-12,
        )

    def _box(self) -> dict[str, Handler]:
        return {
            "*IDN?": lambda _: f"Keysight Technologies,M8195A,{self._serial},4.0.0.0-2",
            "*OPC?": lambda _: Later(
                until=lambda: self._clock.now() >= self._ready_s - 1e-12,
                answer="1",
                at_s=self._ready_s,
            ),
            "*STB?": lambda _: str(4 if len(self.errors) else 0),
            ":ABORt": lambda _: self._run(False),
            ":INITiate:IMMediate": lambda _: self._run(True),
            ":INITiate:CONTinuous#": self._set_continuous,
            ":INITiate:CONTinuous#?": lambda _: str(int(self._continuous)),
            ":INITiate:GATE#": self._set_gated,
            ":INITiate:GATE#?": lambda _: str(int(self._gated)),
            ":TRIGger:BEGin": lambda _: self._trigger(),
            ":ARM:TRIGger:SLOPe": self._set_slope,
            ":ARM:TRIGger:SLOPe?": lambda _: self._slope,
            ":ARM:TRIGger:LEVel": self._set_level,
            ":ARM:TRIGger:LEVel?": lambda _: f"{self._level_v:.6E}",
            ":INSTrument:DACMode": self._set_mode,
            ":INSTrument:DACMode?": lambda _: self._mode[:4],
            ":INSTrument:MEMory:EXTended:RDIVider": self._set_divider,
            ":INSTrument:MEMory:EXTended:RDIVider?": lambda _: f"DIV{self._divider}",
            ":FREQuency:RASTer": self._set_clock,
            ":FREQuency:RASTer?": lambda _: f"{self._clock_hz:.14E}",
            ":FUNCtion#:MODE": self._only_plain,
            ":FUNCtion#:MODE?": lambda _: "ARB",
            ":STATus:OPERation:RUN:CONDition?": lambda _: str(int(self._running)),
            ":ROSCillator:SOURce": lambda call: _ignore(call.argument()),
        }

    def _traces(self) -> dict[str, Handler]:
        return {
            ":TRACe#:MMODe": self._set_memory,
            ":TRACe#:MMODe?": lambda call: self._channel(call).memory,
            ":TRACe#:DELete": self._delete,
            ":TRACe#:DELete:ALL": lambda call: self._program(call).segments.clear(),
            ":TRACe#:DEFine": self._define,
            ":TRACe#:DEFine:NEW?": self._define_new,
            ":TRACe#:DATA": self._write,
            ":TRACe#:SELect": self._select,
            ":TRACe#:SELect?": lambda call: str(self._channel(call).selected),
            ":TRACe#:CATalog?": self._catalogue,
            ":TRACe#:NAME": self._name,
            ":TRACe#:NAME?": lambda call: (
                f'"{self._channel(call).names.get(int(call.number()), "")}"'
            ),
        }

    def _levels(self) -> dict[str, Handler]:
        return {
            ":VOLTage#[:AMPLitude]": self._set_amplitude,
            ":VOLTage#[:AMPLitude]?": lambda call: f"{self._channel(call).volts_pp:.6E}",
            ":VOLTage#:OFFSet": self._set_offset,
            ":VOLTage#:OFFSet?": lambda call: f"{self._channel(call).offset_v:.6E}",
            ":OUTPut#": self._set_output,
            ":OUTPut#?": lambda call: str(int(self._channel(call).on)),
        }

    def _channel(self, call: Call) -> _Channel:
        found = self.channels.get(call.suffixes[0])
        if found is None:
            raise Complaint(-114, "Header suffix out of range")
        return found

    def _program(self, call: Call) -> _Channel:
        """The channel; segments change only in program mode."""
        if self._running:
            raise Complaint(-221, "Settings conflict; instrument is running")
        return self._channel(call)

    def _set_continuous(self, call: Call) -> None:
        self._continuous = call.flag()

    def _set_gated(self, call: Call) -> None:
        self._gated = call.flag()

    def _set_slope(self, call: Call) -> None:
        self._slope = call.word({"POSitive": "POS", "NEGative": "NEG", "EITHer": "EITH"})

    def _set_level(self, call: Call) -> None:
        value = call.number(_UNITS)
        if not -4 <= value <= 4:
            raise _OUT_OF_RANGE
        self._level_v = value

    def _set_mode(self, call: Call) -> None:
        self._mode = call.word(_MODES).upper()
        self._wipe()

    def _set_divider(self, call: Call) -> None:
        self._divider = int(call.word({f"DIV{one}": str(one) for one in (1, 2, 4)}))

    def _set_clock(self, call: Call) -> None:
        value = call.number(_UNITS)
        if not 53.76e9 <= value <= 65e9:
            raise _OUT_OF_RANGE
        self._clock_hz = value
        self._wipe()

    def _wipe(self) -> None:
        """What a change of mode or clock does: it stops, empties the memory and takes its time."""
        self._running = False
        for channel in self.channels.values():
            channel.segments.clear()
        self._ready_s = self._clock.now() + _SLOW_S

    @staticmethod
    def _only_plain(call: Call) -> None:
        if call.word({"ARBitrary": "ARB", "STSequence": "STS", "STSCenario": "STSC"}) != "ARB":
            raise Complaint(-221, "Settings conflict; no sequence is defined")

    def _set_memory(self, call: Call) -> None:
        self._program(call).memory = call.word({"EXTended": "EXT", "INTernal": "INT"})

    def _length(self, call: Call, index: int) -> int:
        value = call.number(index=index)
        granularity = 256 // self._divider
        if not value.is_integer() or not _LEAST <= value <= _MEMORY or value % granularity:
            raise _OUT_OF_RANGE
        return int(value)

    def _define(self, call: Call) -> None:
        channel, number = self._program(call), int(call.number())
        length = self._length(call, 1)
        initial = call.number(index=2) if len(call.arguments) > 2 else 0.0
        if number < 1 or number in channel.segments or not -128 <= initial <= 127:
            raise _OUT_OF_RANGE
        self._refuse_overflow(length)
        channel.segments[number] = np.full(length, int(initial), dtype=np.int8)

    def _define_new(self, call: Call) -> str:
        channel, length = self._program(call), self._length(call, 0)
        self._refuse_overflow(length)
        number = max(channel.segments, default=0) + 1
        channel.segments[number] = np.zeros(length, dtype=np.int8)
        return str(number)

    def _refuse_overflow(self, length: int) -> None:
        held = sum(len(one) for item in self.channels.values() for one in item.segments.values())
        if held + length > _MEMORY:
            raise Complaint(-225, "Out of memory")

    def _delete(self, call: Call) -> None:
        self._program(call).segments.pop(int(call.number()), None)

    def _write(self, call: Call) -> None:
        channel = self._channel(call)
        segment = channel.segments.get(int(call.number()))
        begin = int(call.number(index=1))
        if segment is None or begin < 0:
            raise _OUT_OF_RANGE
        if call.block is None:
            raise Complaint(-109, "Missing parameter")
        if begin + len(call.block) > len(segment):
            raise Complaint(-223, "Too much data")
        channel.write(segment, begin, call.block)

    def _select(self, call: Call) -> None:
        channel, number = self._channel(call), int(call.number())
        if number not in channel.segments:
            raise _OUT_OF_RANGE
        channel.selected = number

    def _catalogue(self, call: Call) -> str:
        found = [f"{n},{len(one)}" for n, one in sorted(self._channel(call).segments.items())]
        return ",".join(found) or "0,0"

    def _name(self, call: Call) -> None:
        self._channel(call).names[int(call.number())] = call.argument(1).strip('"')[:32]

    def _set_amplitude(self, call: Call) -> None:
        value = call.number(_UNITS)
        if not 0.075 - 1e-9 <= value <= 1 + 1e-9:
            raise _OUT_OF_RANGE
        self._channel(call).volts_pp = value

    def _set_offset(self, call: Call) -> None:
        value = call.number(_UNITS)
        if not abs(value) <= 3.3:
            raise _OUT_OF_RANGE
        self._channel(call).offset_v = value

    def _set_output(self, call: Call) -> None:
        self._channel(call).on = call.flag()

    def _run(self, running: bool) -> None:
        self._running = running

    def _waits(self) -> bool:
        return self._running and not self._continuous and not self._gated

    def _trigger(self) -> None:
        if not self._waits():
            return
        self.plays += 1
        with_part = [one.part for one in self.channels.values() if one.part is not None]
        heard = any(
            one.on and one.part is None and one.codes().max() >= _PULSE_CODE
            for one in self.channels.values()
        )
        if with_part:
            play(with_part[0], heard=heard)

    def _applied(self, handler: Handler) -> Handler:
        def handle(call: Call) -> Answer:
            try:
                return handler(call)
            except (OverflowError, ValueError):  # a number that is beyond every range
                raise _OUT_OF_RANGE from None
            finally:
                self._apply()

        return handle

    def _apply(self) -> None:
        """Let the scene have what the settings are; a stopped box gives 0 V."""
        for channel in self.channels.values():
            if channel.part is None:
                continue
            unit, index = channel.part.unit, channel.part.channel
            waits = self._waits()
            unit.sample_rate_hz = self._clock_hz / self._divider
            unit.delay_s = 0.0
            unit.outputs[index] = channel.on
            unit.waveforms[index] = channel.volts() if waits else np.empty(0, dtype=np.float32)
            unit.idle_v[index] = channel.level_v() if self._running else channel.offset_v
            unit.armed = Trigger.EXTERNAL if waits else None
            unit.rest()


def _ignore(_: object) -> None:
    """For what is checked and has no effect here."""


def _make(place: TwinPlace) -> Twin:
    return KeysightM8195ATwin(
        clock=place.clock,
        serial=place.serial,
        parts={n: part for n, part in place.parts.items() if isinstance(part, GeneratorPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Keysight M8195A": _make}
