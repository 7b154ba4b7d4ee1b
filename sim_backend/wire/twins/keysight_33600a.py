"""Twins of the Keysight 33500B and 33600A arbitrary waveform generators."""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.instruments.parts import GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.keysight_33600a import FULL_CODE, Output
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

__all__ = ["MAKERS", "Keysight33600ATwin"]

_FIRMWARE = "3.05-1.19-2.00-58-00"
_MODELS: Final = {
    "33511B": (1, 160e6, 8),
    "33512B": (2, 160e6, 8),
    "33521B": (1, 250e6, 8),
    "33522B": (2, 250e6, 8),
    "33611A": (1, 660e6, 32),
    "33612A": (2, 660e6, 32),
    "33621A": (1, 1e9, 32),
    "33622A": (2, 1e9, 32),
}
"""Outputs, highest sample rate in Hz and fewest points of a waveform."""
_MEMORY = 4_000_000
_S_PER_BYTE = 0.2e-6
_UNITS = {"V": 1.0, "MV": 1e-3, "VPP": 1.0, "HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "S": 1.0, "OHM": 1.0}
_FUNCTIONS = {
    "SINusoid": "SIN",
    "SQUare": "SQU",
    "TRIangle": "TRI",
    "RAMP": "RAMP",
    "PULSe": "PULS",
    "PRBS": "PRBS",
    "NOISe": "NOIS",
    "ARBitrary": "ARB",
    "DC": "DC",
}
_SOURCE = "[:SOURce#]"
_INFINITE = 9.9e37


def _text(value: float) -> str:
    mantissa, _, exponent = f"{value:+.14E}".partition("E")
    return f"{mantissa}E{int(exponent):+03d}"


class Keysight33600ATwin(Twin):
    """A box with one or two outputs.

    Args:
        model: such as `33622A`.
        clock: simulated time.
        serial: serial number.
        parts: of the scene, by output.
        real_load_ohm: what is connected to the outputs.
        line: socket that the bench's trigger line is on: `TRIG` or `SYNC`.
        burst_conflicts: choosing a direct voltage with a burst on switches the burst off and
            reports a settings conflict.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        parts: Mapping[int, GeneratorPart],
        real_load_ohm: float = 50.0,
        line: str = "TRIG",
        burst_conflicts: bool = False,
    ) -> None:
        self.model = model
        self._line = line
        self._sync, self._sync_source = True, 1
        self.errors = ErrorQueue(size=20)
        self.swapped = False
        self.trigger_output = False
        self._clock = clock
        self._serial = serial
        self._burst_conflicts = burst_conflicts
        count, self._highest_hz, self._least = _MODELS[model]
        self.outputs = {
            number: Output(errors=self.errors, part=parts.get(number), real_load_ohm=real_load_ohm)
            for number in range(1, count + 1)
        }
        self._apply()

    def session(self) -> Session:
        """See `Twin.session`."""
        table = {**self._box(), **self._sources(), **self._waveforms(), **self._triggers()}
        return ScpiSession(
            self._clock, {name: self._applied(one) for name, one in table.items()}, self.errors
        )

    def _box(self) -> dict[str, Handler]:
        return {
            "*IDN?": lambda _: f"Agilent Technologies,{self.model},{self._serial},{_FIRMWARE}",
            "*RST": lambda _: self._reset(),
            "*TRG": lambda _: self._bus(tuple(self.outputs)),
            "*OPT?": lambda _: "0",
            "*STB?": lambda _: str(4 if len(self.errors) else 0),
            ":FORMat:BORDer": self._set_order,
            ":FORMat:BORDer?": lambda _: "SWAP" if self.swapped else "NORM",
            ":OUTPut:TRIGger[:STATe]": self._set_trigger_output,
            ":OUTPut:TRIGger[:STATe]?": lambda _: str(int(self.trigger_output)),
            ":OUTPut:TRIGger:SLOPe": lambda call: _ignore(call.word(_SLOPES)),
            ":OUTPut:SYNC[:STATe]": self._set_sync,
            ":OUTPut:SYNC[:STATe]?": lambda _: str(int(self._sync)),
            ":OUTPut:SYNC:SOURce": self._set_sync_source,
            ":OUTPut:SYNC:SOURce?": lambda _: f"CH{self._sync_source}",
            ":SYSTem:BEEPer:STATe": lambda call: _ignore(call.flag()),
            ":DISPlay": lambda call: _ignore(call.flag()),
        }

    def _sources(self) -> dict[str, Handler]:
        source, number, word, flag = _SOURCE, self._number, self._word, self._flag
        return {
            **word(f"{source}:FUNCtion[:SHAPe]", "function", _FUNCTIONS, self._set_function),
            **number(f"{source}:FREQuency", "frequency_hz", lambda _: (1e-6, 120e6)),
            **number(
                f"{source}:VOLTage",
                "volts_pp",
                lambda one: (1e-3, one.most_vpp()),
                lambda one, value: one.set_amplitude(value),
            ),
            **number(
                f"{source}:VOLTage:OFFSet",
                "offset_v",
                lambda one: (-one.peak_v, one.peak_v),
                lambda one, value: one.set_offset(value),
            ),
            f"{source}:VOLTage:HIGH": lambda call: self._set_level(call, high=True),
            f"{source}:VOLTage:LOW": lambda call: self._set_level(call, high=False),
            f"{source}:VOLTage:HIGH?": lambda call: _text(_levels(self._output(call))[1]),
            f"{source}:VOLTage:LOW?": lambda call: _text(_levels(self._output(call))[0]),
            **word(f"{source}:VOLTage:UNIT", "unit", {"VPP": "VPP", "VRMS": "VRMS", "DBM": "DBM"}),
            **word(
                f"{source}:VOLTage:RANGe:AUTO",
                "autorange",
                {"ON": "1", "OFF": "0", "ONCE": "0", "1": "1", "0": "0"},
            ),
            **number(f"{source}:PHASe", "phase", lambda _: (-360.0, 360.0)),
            f"{source}:PHASe:SYNChronize": lambda call: _ignore(self._output(call)),
            **flag(":OUTPut#[:STATe]", "on"),
            ":OUTPut#:LOAD": self._set_load,
            ":OUTPut#:LOAD?": lambda call: _text(min(self._output(call).load_ohm, _INFINITE)),
            ":OUTPut#:POLarity": self._set_polarity,
            ":OUTPut#:POLarity?": lambda call: "INV" if self._output(call).inverted else "NORM",
        }

    def _waveforms(self) -> dict[str, Handler]:
        source = _SOURCE
        return {
            f"{source}:FUNCtion[:SHAPe]:ARBitrary": self._select,
            f"{source}:FUNCtion[:SHAPe]:ARBitrary?": self._selected,
            **self._number(
                f"{source}:FUNCtion[:SHAPe]:ARBitrary:SRATe",
                "rate_hz",
                lambda _: (1e-6, self._highest_hz),
            ),
            **self._word(
                f"{source}:FUNCtion[:SHAPe]:ARBitrary:FILTer",
                "filter",
                {"NORMal": "NORM", "STEP": "STEP", "OFF": "OFF"},
            ),
            **self._word(
                f"{source}:FUNCtion[:SHAPe]:ARBitrary:ADVance",
                "advance",
                {"TRIGger": "TRIG", "SRATe": "SRAT"},
            ),
            f"{source}:DATA:VOLatile:CLEar": self._clear,
            f"{source}:DATA:VOLatile:CATalog?": self._catalogue,
            f"{source}:DATA:ARBitrary": self._load_floats,
            f"{source}:DATA:ARBitrary:DAC": self._load_codes,
        }

    def _triggers(self) -> dict[str, Handler]:
        source, number, word = _SOURCE, self._number, self._word
        sources = {"IMMediate": "IMM", "EXTernal": "EXT", "TIMer": "TIM", "BUS": "BUS"}
        gates = {"NORMal": "NORM", "INVerted": "INV"}
        return {
            **self._flag(f"{source}:BURSt[:STATe]", "burst"),
            **word(f"{source}:BURSt:MODE", "burst_mode", {"TRIGgered": "TRIG", "GATed": "GAT"}),
            f"{source}:BURSt:NCYCles": self._set_cycles,
            f"{source}:BURSt:NCYCles?": lambda call: _text(
                min(self._output(call).cycles, _INFINITE)
            ),
            **number(f"{source}:BURSt:PHASe", "burst_phase", lambda _: (-360.0, 360.0)),
            **number(f"{source}:BURSt:INTernal:PERiod", "burst_period_s", lambda _: (1e-6, 8000.0)),
            **word(f"{source}:BURSt:GATE:POLarity", "gate", gates),
            ":TRIGger#": lambda call: self._bus((self._index(call),)),
            **word(":TRIGger#:SOURce", "trigger", sources),
            **word(":TRIGger#:SLOPe", "slope", _SLOPES),
            **number(":TRIGger#:DELay", "delay_s", lambda _: (0.0, 1000.0)),
            **number(":TRIGger#:TIMer", "timer_s", lambda _: (1e-6, 8000.0)),
            **number(":TRIGger#:COUNt", "count", lambda _: (1.0, 1e6)),
        }

    def _index(self, call: Call) -> int:
        number = call.suffixes[0]
        if number not in self.outputs:
            raise Complaint(-114, "Header suffix out of range")
        return number

    def _output(self, call: Call) -> Output:
        return self.outputs[self._index(call)]

    def _number(
        self,
        pattern: str,
        name: str,
        limits: Callable[[Output], tuple[float, float]],
        put: Callable[[Output, float], None] | None = None,
    ) -> dict[str, Handler]:
        def order(call: Call) -> None:
            output = self._output(call)
            least, most = limits(output)
            ends = {"MIN": least, "MINIMUM": least, "MAX": most, "MAXIMUM": most}
            value = ends.get(call.argument().upper())
            value = call.number(_UNITS) if value is None else value
            if put is not None:
                put(output, value)
            elif not least <= value <= most * (1 + 1e-12):
                raise Complaint(-222, "Data out of range")
            else:
                setattr(output, name, value)

        def query(call: Call) -> str:
            output = self._output(call)
            if not call.arguments:
                return _text(getattr(output, name))
            return _text(limits(output)[call.word({"MINimum": "0", "MAXimum": "1"}) == "1"])

        return {pattern: order, f"{pattern}?": query}

    def _word(
        self,
        pattern: str,
        name: str,
        known: Mapping[str, str],
        put: Callable[[Output, str], None] | None = None,
    ) -> dict[str, Handler]:
        def order(call: Call) -> None:
            output, value = self._output(call), call.word(known)
            if put is None:
                setattr(output, name, value)
            else:
                put(output, value)

        return {pattern: order, f"{pattern}?": lambda call: getattr(self._output(call), name)}

    def _flag(self, pattern: str, name: str) -> dict[str, Handler]:
        def order(call: Call) -> None:
            setattr(self._output(call), name, call.flag())

        def query(call: Call) -> str:
            return str(int(getattr(self._output(call), name)))

        return {pattern: order, f"{pattern}?": query}

    def _set_function(self, output: Output, function: str) -> None:
        output.set_function(function)
        if function == "DC" and output.burst and self._burst_conflicts:
            output.burst = False
            raise Complaint(-221, "Settings conflict; burst turned off by selection of function")

    def _set_level(self, call: Call, *, high: bool) -> None:
        output, value = self._output(call), call.number(_UNITS)
        low_v, high_v = _levels(output)
        low_v, high_v = (low_v, value) if high else (value, high_v)
        if high_v <= low_v or max(abs(low_v), abs(high_v)) > output.peak_v:
            raise Complaint(-222, "Data out of range")
        output.volts_pp, output.offset_v = high_v - low_v, (high_v + low_v) / 2

    def _set_load(self, call: Call) -> None:
        ends = {"MIN": 1.0, "MINIMUM": 1.0, "MAX": 1e4, "MAXIMUM": 1e4}
        infinite = call.argument().upper() in ("INF", "INFINITY")
        found = math.inf if infinite else ends.get(call.argument().upper())
        value = call.number(_UNITS) if found is None else found
        if not (1 <= value <= 1e4 or value == math.inf):
            raise Complaint(-222, "Data out of range")
        self._output(call).set_load(value)

    def _set_polarity(self, call: Call) -> None:
        word = call.word({"NORMal": "NORM", "INVerted": "INV"})
        self._output(call).inverted = word == "INV"

    def _set_order(self, call: Call) -> None:
        self.swapped = call.word({"NORMal": "NORM", "SWAPped": "SWAP"}) == "SWAP"

    def _set_trigger_output(self, call: Call) -> None:
        self.trigger_output = call.flag()

    def _set_sync(self, call: Call) -> None:
        self._sync = call.flag()

    def _set_sync_source(self, call: Call) -> None:
        self._sync_source = int(call.word({f"CH{number}": str(number) for number in self.outputs}))

    def _set_cycles(self, call: Call) -> None:
        infinite = call.argument().upper() in ("INF", "INFINITY")
        value = math.inf if infinite else call.number()
        if not (value == math.inf or 1 <= value <= 1e8):
            raise Complaint(-222, "Data out of range")
        self._output(call).cycles = value

    def _select(self, call: Call) -> None:
        output, name = self._output(call), _name(call.argument())
        if name not in output.waveforms:
            raise Complaint(787, "Specified arb waveform does not exist")
        output.selected = name

    def _selected(self, call: Call) -> str:
        return f'"{self._output(call).selected or "EXP_RISE"}"'

    def _clear(self, call: Call) -> None:
        output = self._output(call)
        output.waveforms.clear()
        output.selected = ""

    def _catalogue(self, call: Call) -> str:
        names = self._output(call).waveforms
        return ",".join(f'"{name}"' for name in names) or '""'

    def _load_floats(self, call: Call) -> Answer:
        if call.block is not None:
            if len(call.block) % 4:
                raise Complaint(-161, "Invalid block data")
            kind = "<f4" if self.swapped else ">f4"
            values = np.frombuffer(call.block, dtype=kind).astype(np.float64)
        else:
            values = _listed(call)
        if not np.all(np.abs(values) <= 1):  # NaN is refused too
            raise Complaint(-222, "Data out of range")
        return self._store(call, np.rint(values * FULL_CODE).astype(np.int16))

    def _load_codes(self, call: Call) -> Answer:
        if call.block is not None:
            if len(call.block) % 2:
                raise Complaint(-161, "Invalid block data")
            kind = "<i2" if self.swapped else ">i2"
            return self._store(call, np.frombuffer(call.block, dtype=kind).astype(np.int16))
        values = _listed(call)
        if not np.all(np.abs(values) <= FULL_CODE):
            raise Complaint(-222, "Data out of range")
        return self._store(call, values.astype(np.int16))

    def _store(self, call: Call, points: NDArray[np.int16]) -> Answer:
        output, name = self._output(call), _name(call.argument())
        if re.fullmatch(r"[a-z]\w{0,11}", name) is None:
            raise Complaint(-224, "Illegal parameter value")
        if name in output.waveforms:
            raise Complaint(786, "Specified arb waveform already exists")
        if len(points) < self._least or np.any(points < -FULL_CODE):
            raise Complaint(-222, "Data out of range")
        if sum(map(len, output.waveforms.values())) + len(points) > _MEMORY:
            raise Complaint(-225, "Out of memory")
        output.waveforms[name] = points
        ready_s = self._clock.now() + points.nbytes * _S_PER_BYTE
        return Later(until=lambda: self._clock.now() >= ready_s - 1e-12, at_s=ready_s)

    def _bus(self, numbers: tuple[int, ...]) -> None:
        """A software trigger; outputs that it starts together run together."""
        ready = [n for n in numbers if self.outputs[n].waits() and self.outputs[n].trigger == "BUS"]
        started = [self.outputs[number] for number in ready]
        for output in started:
            output.played += 1
        synchronous = self._sync and self._sync_source in ready
        heard = self.trigger_output if self._line == "TRIG" else synchronous
        parts = [output.part for output in started if output.part is not None]
        if not parts:
            return
        units = {id(part.unit): part.unit for part in parts[1:] if part.unit is not parts[0].unit}
        play(parts[0], heard=heard, together=tuple(units.values()))

    def _reset(self) -> None:
        self.swapped = self.trigger_output = False
        self._sync, self._sync_source = True, 1
        for output in self.outputs.values():
            output.reset()

    def _applied(self, handler: Handler) -> Handler:
        def handle(call: Call) -> Answer:
            try:
                return handler(call)
            finally:
                self._apply()

        return handle

    def _apply(self) -> None:
        for output in self.outputs.values():
            output.apply()


_SLOPES = {"POSitive": "POS", "NEGative": "NEG"}


def _ignore(_: object) -> None:
    """For what is checked and has no effect here."""


def _levels(output: Output) -> tuple[float, float]:
    return output.offset_v - output.volts_pp / 2, output.offset_v + output.volts_pp / 2


def _name(text: str) -> str:
    stem = text.strip("\"'").replace("/", "\\").rpartition("\\")[2]
    return stem.lower().removesuffix(".arb")


def _listed(call: Call) -> NDArray[np.float64]:
    call.argument(1)
    try:
        return np.array([float(one) for one in call.arguments[1:]])
    except ValueError:
        raise Complaint(-104, "Data type error") from None


def _make(model: str, place: TwinPlace) -> Twin:
    lines = {own.get("trigger_output", "TRIG") for own in place.settings.values()}
    return Keysight33600ATwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        parts={n: part for n, part in place.parts.items() if isinstance(part, GeneratorPart)},
        line="SYNC" if "SYNC" in lines else "TRIG",
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _MODELS
}
