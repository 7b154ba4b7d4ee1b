"""Twin of the Red Pitaya STEMlab 125-14 with its SCPI server: inputs and outputs of one board."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from drivers.instruments import Trigger
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.red_pitaya import (
    FULL_V,
    RATE_HZ,
    SIZE,
    Acquisition,
    Output,
    RedPitayaSession,
    out_of_range,
)
from sim_backend.wire.dialects.trigger_pulse import play
from sim_backend.wire.scpi_session import Answer, Call, Complaint, ErrorQueue, Handler, block
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "RedPitayaTwin"]

_CHOICES: Final = {
    "function": ("SINE", "SQUARE", "TRIANGLE", "SAWU", "SAWD", "PWM", "ARBITRARY", "DC", "DC_NEG"),
    "mode": ("BURST", "CONTINUOUS", "STREAM"),
    "trigger": ("INT", "EXT_PE", "EXT_NE", "GATED"),
}
_EDGES = tuple(
    f"{source}_{edge}" for source in ("CH1", "CH2", "EXT", "AWG") for edge in ("PE", "NE", "AE")
)
_SOURCES: Final = ("DISABLED", "NOW", *_EDGES)
_PINS: Final = (
    *(f"LED{n}" for n in range(8)),
    *(f"DIO{n}_{side}" for side in "PN" for n in range(8)),
)
_INPUT_OF_LINE = "DIO0_P"


@dataclass
class _Connection:
    """What belongs to a connection, not to the board."""

    errors: ErrorQueue = field(
        default_factory=lambda: ErrorQueue(size=16, empty='0,"No error"', plus=False)
    )
    binary: bool = False
    little: bool = False


class RedPitayaTwin(Twin):
    """A board.

    Args:
        clock: simulated time.
        serial: serial number.
        inputs: of the scene, by number.
        outputs: of the scene, by number.
    """

    model = "STEMlab 125-14"

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        inputs: Mapping[int, DigitiserPart],
        outputs: Mapping[int, GeneratorPart],
    ) -> None:
        self._clock = clock
        self._serial = serial
        self.acquisition = Acquisition(clock=clock, parts=inputs)
        self.outputs = {number: Output(part=outputs.get(number)) for number in (1, 2)}
        self.answers_errors = False
        self._high = dict.fromkeys(_PINS, False)
        self._driven = dict.fromkeys(_PINS, False)
        self._apply()

    def session(self) -> Session:
        """See `Twin.session`."""
        mine = _Connection()
        table = {**self._system(mine), **self._inputs(mine), **self._data(mine), **self._sources()}
        wrapped = {name: self._wrapped(name, one, mine) for name, one in table.items()}
        return RedPitayaSession(self._clock, wrapped, mine.errors)

    def _system(self, mine: _Connection) -> dict[str, Handler]:
        return {
            "*IDN?": lambda _: f"REDPITAYA,INSTR2025,{self._serial},01-21",
            "*STB?": lambda _: str(4 if len(mine.errors) else 0),
            "*RST": lambda _: None,
            ":SYSTem:ERRor:COUNt?": lambda _: str(len(mine.errors)),
            ":SYSTem:VERSion?": lambda _: "1999.0",
            ":SYSTem:BRD:ID?": lambda _: "2",
            ":SYSTem:BRD:Name?": lambda _: "STEMlab 125-14 v1.0",
            ":RP:RET_ON_ERROR": self._set_answers_errors,
            ":DIG:PIN": self._set_pin,
            ":DIG:PIN?": lambda call: str(int(self._high[_choice(call, _PINS)])),
            ":DIG:PIN:DIR": self._set_direction,
            ":DIG:PIN:DIR?": lambda call: "OUT" if self._driven[_choice(call, _PINS)] else "IN",
        }

    def _inputs(self, mine: _Connection) -> dict[str, Handler]:
        acquisition = self.acquisition
        return {
            ":ACQ:RST": lambda _: self._reset_inputs(mine),
            ":ACQ:DEC": lambda call: self._set_decimation(call, powers=True),
            ":ACQ:DEC?": lambda _: str(acquisition.decimation),
            ":ACQ:DEC:Factor": lambda call: self._set_decimation(call, powers=False),
            ":ACQ:DEC:Factor?": lambda _: str(acquisition.decimation),
            ":ACQ:AVG": lambda call: setattr(acquisition, "averaging", call.flag()),
            ":ACQ:AVG?": lambda _: "ON" if acquisition.averaging else "OFF",
            ":ACQ:SOUR#:GAIN": self._set_gain,
            ":ACQ:SOUR#:GAIN?": lambda call: acquisition.gains[self._input(call)],
            ":ACQ:TRig": lambda call: acquisition.choose(_choice(call, _SOURCES)),
            ":ACQ:TRig:STAT?": lambda _: "TD" if acquisition.source == "DISABLED" else "WAIT",
            ":ACQ:TRig:FILL?": lambda _: str(int(acquisition.full)),
            ":ACQ:TRig:LEV": lambda call: setattr(acquisition, "level_v", _number(call)),
            ":ACQ:TRig:LEV?": lambda _: f"{acquisition.level_v:g}",
            ":ACQ:TRig:HYST": lambda call: setattr(acquisition, "hysteresis_v", _number(call)),
            ":ACQ:TRig:HYST?": lambda _: f"{acquisition.hysteresis_v:g}",
            ":ACQ:TRig:DLY": lambda call: self._set_delay(_whole(call)),
            ":ACQ:TRig:DLY?": lambda _: str(acquisition.delay),
            ":ACQ:TRig:DLY:NS": lambda call: self._set_delay(
                round(_number(call) * 1e-9 * acquisition.rate_hz)
            ),
            ":ACQ:START": lambda _: acquisition.start(),
            ":ACQ:STOP": lambda _: acquisition.stop(),
            ":ACQ:WPOS?": lambda _: str((acquisition.trigger_place + SIZE // 2) % SIZE),
            ":ACQ:TPOS?": lambda _: str(acquisition.trigger_place),
            ":ACQ:BUF:SIZE?": lambda _: str(SIZE),
        }

    def _data(self, mine: _Connection) -> dict[str, Handler]:
        def ring(start: int, count: int) -> Handler:
            return lambda call: self._samples(call, mine, start, count)

        oldest = self._oldest
        return {
            ":ACQ:DATA:FORMAT": lambda call: _set_format(call, mine),
            ":ACQ:DATA:FORMAT?": lambda _: "BIN" if mine.binary else "ASCII",
            ":ACQ:DATA:Units": self._set_units,
            ":ACQ:DATA:Units?": lambda _: "RAW" if self.acquisition.raw else "VOLTS",
            ":ACQ:DATA:BYTE:ORDER": lambda call: setattr(
                mine, "little", _choice(call, ("BEND", "LEND")) == "LEND"
            ),
            ":ACQ:DATA:BYTE:ORDER?": lambda _: "LEND" if mine.little else "BEND",
            ":ACQ:SOUR#:DATA?": lambda call: self._samples(call, mine, oldest(), SIZE),
            ":ACQ:SOUR#:DATA:STArt:N?": lambda call: ring(_whole(call), _whole(call, 1))(call),
            ":ACQ:SOUR#:DATA:Start:N?": lambda call: ring(_whole(call), _whole(call, 1))(call),
            ":ACQ:SOUR#:DATA:STArt:End?": lambda call: ring(
                _whole(call), (_whole(call, 1) - _whole(call)) % SIZE + 1
            )(call),
            ":ACQ:SOUR#:DATA:Old:N?": lambda call: ring(oldest(), _whole(call))(call),
            ":ACQ:SOUR#:DATA:LATest:N?": lambda call: ring(oldest() - _whole(call), _whole(call))(
                call
            ),
            ":ACQ:SOUR#:DATA:TRig?": lambda call: ring(*self._round_trigger(call))(call),
        }

    def _sources(self) -> dict[str, Handler]:
        table: dict[str, Handler] = {
            ":GEN:RST": lambda _: self._reset_outputs(),
            ":PHAS:ALIGN": lambda _: self._start(tuple(self.outputs)),
            ":OUTPUT#:STATE": lambda call: setattr(self._output(call), "on", call.flag()),
            ":OUTPUT#:STATE?": lambda call: "ON" if self._output(call).on else "OFF",
            ":SOUR#:FREQ:FIX": self._set_frequency,
            ":SOUR#:FREQ:FIX?": lambda call: f"{np.float32(self._output(call).frequency_hz):g}",
            ":SOUR#:VOLT": self._set_volts,
            ":SOUR#:VOLT?": lambda call: f"{self._output(call).volts:g}",
            ":SOUR#:VOLT:OFFS": self._set_offset,
            ":SOUR#:VOLT:OFFS?": lambda call: f"{self._output(call).offset_v:g}",
            ":SOUR#:TRAC:DATA:DATA": self._set_table,
            ":SOUR#:TRAC:DATA:DATA?": lambda call: (
                "{" + ",".join(f"{one:f}" for one in self._output(call).table) + "}"
            ),
            ":SOUR#:TRig:INT": lambda call: self._start((self._number(call),)),
            ":SOUR:TRig:INT": lambda _: self._start(tuple(self.outputs)),
        }
        for header, name in (
            ("FUNC", "function"),
            ("BURS:STAT", "mode"),
            ("TRig:SOUR", "trigger"),
        ):
            table |= self._chosen(f":SOUR#:{header}", name)
        for header, name, least, most in (
            ("PHAS", "phase", -360.0, 360.0),
            ("DCYC", "duty", 0.0, 1.0),
            ("BURS:NCYC", "cycles", 1, 65536),
            ("BURS:NOR", "repetitions", 1, 65536),
            ("BURS:INT:PER", "period_us", 1.0, 4e6),
            ("BURS:INITValue", "first_v", -1.0, 1.0),
            ("BURS:LASTValue", "last_v", -1.0, 1.0),
        ):
            table |= self._bounded(f":SOUR#:{header}", name, least, most)
        return table

    def _chosen(self, pattern: str, name: str) -> dict[str, Handler]:
        def order(call: Call) -> None:
            output = self._output(call)
            setattr(output, name, _choice(call, _CHOICES[name]))
            output.started = False

        return {pattern: order, f"{pattern}?": lambda call: getattr(self._output(call), name)}

    def _bounded(self, pattern: str, name: str, least: float, most: float) -> dict[str, Handler]:
        def order(call: Call) -> None:
            value = _number(call)
            if not least <= value <= most:
                raise out_of_range(pattern)
            setattr(self._output(call), name, type(least)(value))

        def query(call: Call) -> str:
            return f"{getattr(self._output(call), name):g}"

        return {pattern: order, f"{pattern}?": query}

    def _wrapped(self, name: str, handler: Handler, mine: _Connection) -> Handler:
        def handle(call: Call) -> Answer:
            self.acquisition.look()
            try:
                return handler(call)
            except Complaint as complaint:
                mine.errors.add(complaint.number, complaint.text)
                if complaint.number == 8891:
                    mine.errors.add(-109, "Missing parameter")
                return "" if self.answers_errors and name.endswith("?") else None
            finally:
                self._apply()

        return handle

    def _apply(self) -> None:
        for output in self.outputs.values():
            output.apply()

    def _input(self, call: Call) -> int:
        number = call.suffixes[0]
        if number not in self.acquisition.gains:
            raise Complaint(9500, "*ACQ:SOUR Invalid channel number")
        return number

    def _number(self, call: Call) -> int:
        number = call.suffixes[0]
        if number not in self.outputs:
            raise Complaint(9500, "*SOUR Invalid channel number")
        return number

    def _output(self, call: Call) -> Output:
        return self.outputs[self._number(call)]

    def _set_answers_errors(self, call: Call) -> None:
        self.answers_errors = call.flag()

    def _reset_inputs(self, mine: _Connection) -> None:
        self.acquisition.reset()
        mine.binary = False

    def _reset_outputs(self) -> None:
        for number, output in self.outputs.items():
            self.outputs[number] = Output(part=output.part, plays=output.plays)

    def _set_decimation(self, call: Call, *, powers: bool) -> None:
        value = _whole(call)
        known = value > 0 and value & (value - 1) == 0 if powers else value in (1, 2, 4, 8)
        if not (known or (not powers and value >= 16)) or value > 65536:
            raise out_of_range("ACQ:DEC")
        self.acquisition.decimation = value

    def _set_gain(self, call: Call) -> None:
        self.acquisition.gains[self._input(call)] = _choice(call, tuple(FULL_V))

    def _set_delay(self, samples: int) -> None:
        if abs(samples) > 1 << 30:
            raise out_of_range("ACQ:TRIG:DLY")
        self.acquisition.delay = max(samples, -SIZE // 2)

    def _set_units(self, call: Call) -> None:
        self.acquisition.raw = _choice(call, ("VOLTS", "RAW")) == "RAW"

    def _oldest(self) -> int:
        return (self.acquisition.trigger_place + SIZE // 2 + self.acquisition.delay) % SIZE

    def _round_trigger(self, call: Call) -> tuple[int, int]:
        count = _whole(call)
        which = _choice(call, ("PRE_TRIG", "POST_TRIG", "PRE_POST_TRIG"), 1)
        place = self.acquisition.trigger_place
        if which == "POST_TRIG":
            return place, count + 1
        return place - count, count + 1 if which == "PRE_TRIG" else 2 * count + 1

    def _samples(self, call: Call, mine: _Connection, start: int, count: int) -> Answer:
        number = self._input(call)
        if not 0 <= count <= SIZE:
            raise out_of_range("ACQ:SOUR:DATA")
        places = (start + np.arange(count)) % SIZE
        codes = self.acquisition.buffers[number][places]
        order = "<" if mine.little else ">"
        if self.acquisition.raw:
            if mine.binary:
                return block(codes.astype(f"{order}i2").tobytes())
            return "{" + ",".join(str(one) for one in codes.tolist()) + "}"
        volts = codes * (FULL_V[self.acquisition.gains[number]] * 2 / SIZE)
        if mine.binary:
            return block(volts.astype(f"{order}f4").tobytes())
        return "{" + ",".join(f"{one:f}" for one in volts.tolist()) + "}"

    def _set_frequency(self, call: Call) -> None:
        value = _number(call)
        if not 0 <= value <= RATE_HZ / 2:
            raise out_of_range("SOUR:FREQ:FIX")
        self._output(call).frequency_hz = float(np.float32(value))

    def _set_volts(self, call: Call) -> None:
        output = self._output(call)
        output.set_levels("SOUR:VOLT", volts=_number(call), offset_v=output.offset_v)

    def _set_offset(self, call: Call) -> None:
        output = self._output(call)
        output.set_levels("SOUR:VOLT:OFFS", volts=output.volts, offset_v=_number(call))

    def _set_table(self, call: Call) -> None:
        output = self._output(call)
        if not call.arguments:
            raise Complaint(8891, "*SOUR:TRAC:DATA:DATA Missing first parameter.")
        try:
            values = np.array([float(one) for one in call.arguments])
        except ValueError:
            raise Complaint(-104, "Data type error") from None
        if len(values) > SIZE or not np.all(np.abs(values) < 1e30):
            raise out_of_range("SOUR:TRAC:DATA:DATA")
        output.table = np.clip(values, -1, 1).astype(np.float32)

    def _set_direction(self, call: Call) -> None:
        pin = _choice(call, _PINS, 1)
        self._driven[pin] = _choice(call, ("IN", "OUT")) == "OUT"

    def _set_pin(self, call: Call) -> None:
        pin, high = _choice(call, _PINS), _whole(call, 1) != 0
        rises = high and not self._high[pin]
        self._high[pin] = high
        if rises and self._driven[pin] and pin.startswith("DIO") and pin != _INPUT_OF_LINE:
            self._pulse()

    def _pulse(self) -> None:
        """The bench's line goes up; the board's own external trigger is on it too."""
        waiting = [one for one in self.outputs.values() if one.waits("EXT_PE")]
        self._play(waiting, heard=True)

    def _start(self, numbers: tuple[int, ...]) -> None:
        started = [self.outputs[number] for number in numbers]
        for output in started:
            output.started = True
        self._play([one for one in started if one.waits("INT")], heard=False)

    def _play(self, playing: list[Output], *, heard: bool) -> None:
        for output in playing:
            output.started = True
            output.plays += 1
        own = list(self.acquisition.parts.values())
        if self.acquisition.awaits_own_output() and playing:
            for one in own:
                one.unit.armed = Trigger.EXTERNAL
        with_part = [one.part for one in playing if one.part is not None]
        if not with_part and heard:
            with_part = [one.part for one in self.outputs.values() if one.part is not None]
        if with_part:
            play(with_part[0], heard=heard or self.acquisition.awaits_own_output())


def _choice(call: Call, known: tuple[str, ...], index: int = 0) -> str:
    if index >= len(call.arguments) or not call.arguments[index]:
        raise Complaint(8891, "*Missing parameter.")
    said = call.arguments[index].upper()
    if said not in known:
        raise Complaint(-200, "Execution error")
    return said


def _number(call: Call, index: int = 0) -> float:
    if index >= len(call.arguments):
        raise Complaint(8891, "*Missing first parameter.")
    return call.number(index=index)


def _whole(call: Call, index: int = 0) -> int:
    value = _number(call, index)
    if not value.is_integer() or abs(value) > 1 << 31:
        raise Complaint(-104, "Data type error")
    return int(value)


def _set_format(call: Call, mine: _Connection) -> None:
    mine.binary = _choice(call, ("ASCII", "BIN")) == "BIN"


def _make(place: TwinPlace) -> Twin:
    """A channel may have an input and an output: then its part is a sequence of both."""
    inputs: dict[int, DigitiserPart] = {}
    outputs: dict[int, GeneratorPart] = {}
    for number, given in place.parts.items():
        for part in given if isinstance(given, tuple | list) else (given,):
            if isinstance(part, DigitiserPart):
                inputs[number] = part
            elif isinstance(part, GeneratorPart):
                outputs[number] = part
    return RedPitayaTwin(clock=place.clock, serial=place.serial, inputs=inputs, outputs=outputs)


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Red Pitaya STEMlab 125-14 {what}": _make for what in ("inputs HV", "inputs LV", "outputs")
}
