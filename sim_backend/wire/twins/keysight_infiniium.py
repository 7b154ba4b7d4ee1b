"""Twins of the Keysight Infiniium oscilloscopes of the S and V series.

Model of the acquisition: sample rate and points are taken as they are set, around the reference in
the middle; words are signed, the converter's bits to the left, 61440 of them on eight divisions.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.instruments.parts import DigitiserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.scope import (
    SECONDS,
    VOLTS,
    Acquisition,
    Frame,
    Knobs,
    digitiser_parts,
    engineering,
    headed,
    plugged_inputs,
)
from sim_backend.wire.scpi_session import (
    Answer,
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    ScpiSession,
    block,
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "KeysightInfiniiumTwin"]

_BITS: Final = {"DSOS204A": 10, "DSOV084A": 8}
_FIRMWARE = "06.20.01301"
_INPUTS = 4
_LONGEST = 50_000_000
_WORDS_PER_RANGE = 61440
_HALF_SPAN = 1 << 15
_MARKS = 31232
_SHOWN, _RANGE, _OFFSET = ":CHANnel#:DISPlay", ":CHANnel#:RANGe", ":CHANnel#:OFFSet"
_WINDOW, _POSITION = ":TIMebase:RANGe", ":TIMebase:POSition"
_RATE, _POINTS = ":ACQuire:SRATe", ":ACQuire:POINts"
_SOURCE, _SWEEP = ":TRIGger:EDGE:SOURce", ":TRIGger:SWEep"
_SENT, _FORMAT, _ORDER = ":WAVeform:SOURce", ":WAVeform:FORMat", ":WAVeform:BYTeorder"
_STREAMING = ":WAVeform:STReaming"
_INPUT_WORDS: Final = {f"CHANnel{n}": f"CHAN{n}" for n in range(1, _INPUTS + 1)}
_FORMATS: Final = {"ASC": 0, "BYTE": 1, "WORD": 2, "BIN": 2, "FLO": 5}
_NOTHING = Complaint(-230, "Data corrupt or stale")


class KeysightInfiniiumTwin(Twin):
    """An oscilloscope.

    Args:
        model: such as `DSOS204A`.
        clock: simulated time.
        serial: serial number.
        parts: of the scene, by input.
        plugged: inputs that the bench's trigger line is plugged into.
    """

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        parts: Mapping[int, DigitiserPart],
        plugged: frozenset[int] = frozenset((4,)),
    ) -> None:
        self.model = model
        self._serial = serial
        self._clock = clock
        self._errors = ErrorQueue(size=30, empty='0,"No error"', plus=False)
        self._acquisition = Acquisition(clock, parts, plugged)
        self._knobs = Knobs()
        self._levels: dict[str, float] = {}
        self._headers = self._free = True
        self._armed = self._ended = False
        own = {**self._panel(), **self._transfer()}
        self._table = {
            **self._running(),
            **{name: headed(name, one, self._style) for name, one in own.items()},
        }
        self._preset()

    def session(self) -> Session:
        """See `Twin.session`."""
        return ScpiSession(self._clock, self._table, self._errors)

    def _preset(self) -> None:
        self._acquisition.stop()
        self._knobs.reset()
        self._knobs.put(_SHOWN, True, 1)
        self._free = True

    def _style(self) -> str:
        return "short" if self._headers else ""

    def _panel(self) -> dict[str, Handler]:
        knobs = self._knobs
        slopes = {"POSitive": "POS", "NEGative": "NEG", "EITHer": "EITH"}
        inputs = {"DC": "DC", "DC50": "DC50", "DCFifty": "DC50"}
        sources = {**_INPUT_WORDS, "AUX": "AUX", "LINE": "LINE"}
        return {
            **knobs.flag(_SHOWN, False),
            **knobs.number(_RANGE, 8.0, (8e-3, 40.0), units=VOLTS),
            **knobs.number(_OFFSET, 0.0, (-40.0, 40.0), units=VOLTS),
            **knobs.word(":CHANnel#:INPut", "DC50", inputs),
            **knobs.number(_WINDOW, 1e-7, (5e-11, 200.0), units=SECONDS),
            **knobs.number(_POSITION, 0.0, (-200.0, 200.0), units=SECONDS),
            **knobs.word(":TIMebase:REFerence", "CENT", {"CENTer": "CENT"}),
            **knobs.word(":ACQuire:MODE", "RTIM", {"RTIMe": "RTIM", "SEGMented": "SEGM"}),
            **knobs.number(_RATE, 10e9, (1e3, 20e9)),
            **knobs.number(_POINTS, 1000.0, (16, _LONGEST), write=_whole),
            **knobs.word(":TRIGger:MODE", "EDGE", {"EDGE": "EDGE"}),
            **knobs.word(_SOURCE, "CHAN1", sources),
            **knobs.word(":TRIGger:EDGE:SLOPe", "POS", slopes),
            **knobs.word(_SWEEP, "AUTO", {"AUTO": "AUTO", "TRIGgered": "TRIG"}),
            ":TRIGger:LEVel": self._set_level,
            ":TRIGger:LEVel?": self._level,
        }

    def _running(self) -> dict[str, Handler]:
        identity = f"KEYSIGHT TECHNOLOGIES,{self.model},{self._serial},{_FIRMWARE}"
        return {
            "*IDN?": lambda _: identity,
            "*RST": lambda _: self._preset(),
            ":SYSTem:HEADer": self._set_headers,
            ":SYSTem:ERRor[:NEXT]?": self._error,
            ":RUN": lambda _: self._run(),
            ":STOP": lambda _: self._halt(),
            ":SINGle": lambda _: self._single(),
            ":DIGitize": self._digitize,
            ":RSTate?": lambda _: self._run_state(),
            ":ASTate?": lambda _: self._acquisition_state(),
            ":AER?": lambda _: self._armed_event(),
            ":ADER?": lambda _: self._done_event(),
            ":PDER?": lambda _: str(int(not self._is_running())),
            ":TER?": lambda _: self._trigger_event(),
        }

    def _transfer(self) -> dict[str, Handler]:
        knobs = self._knobs
        formats = {"ASCii": "ASC", "BYTE": "BYTE", "WORD": "WORD", "BINary": "BIN", "FLOat": "FLO"}
        return {
            **knobs.word(_SENT, "CHAN1", _INPUT_WORDS),
            **knobs.word(_FORMAT, "BYTE", formats),
            **knobs.word(_ORDER, "MSBF", {"MSBFirst": "MSBF", "LSBFirst": "LSBF"}),
            **knobs.flag(_STREAMING, False),
            ":WAVeform:POINts?": lambda _: str(self._record()[0].samples),
            ":WAVeform:PREamble?": lambda _: self._preamble(),
            ":WAVeform:DATA?": lambda _: self._data(),
        }

    def _set_headers(self, call: Call) -> None:
        self._headers = call.flag()

    def _error(self, call: Call) -> str:
        said = self._errors.next()
        return said if call.arguments else said.partition(",")[0]

    def _set_level(self, call: Call) -> None:
        self._levels[call.word(_INPUT_WORDS)] = call.number(VOLTS, 1)

    def _level(self, call: Call) -> str:
        return engineering(self._levels.get(call.word(_INPUT_WORDS), 0.0))

    def _volts_per_word(self, channel: int) -> float:
        return self._knobs.value(_RANGE, channel) / _WORDS_PER_RANGE

    def _next_frame(self) -> Frame:
        """What an acquisition would take now."""
        knobs = self._knobs
        rate_hz, samples = knobs.value(_RATE), int(knobs.value(_POINTS))
        spans_v = {
            n: _HALF_SPAN * self._volts_per_word(n) + abs(knobs.value(_OFFSET, n))
            for n in range(1, _INPUTS + 1)
            if knobs.is_on(_SHOWN, n)
        }
        begin_s = knobs.value(_POSITION) - samples / rate_hz / 2
        return Frame(rate_hz=rate_hz, samples=samples, begin_s=begin_s, spans_v=spans_v)

    def _run(self) -> None:
        self._acquisition.stop()
        self._free = self._armed = True

    def _halt(self) -> None:
        if self._free:
            self._acquisition.keep(self._next_frame())
        self._ended = self._ended and not self._acquisition.is_running()
        self._free = False
        self._acquisition.stop()

    def _single(self) -> None:
        self._free = False
        source = self._knobs.text(_SOURCE)
        self._acquisition.start(
            self._next_frame(),
            source=int(source[-1]) if source[-1].isdigit() else None,
            auto=self._knobs.text(_SWEEP) == "AUTO",
        )
        self._armed = self._ended = True

    def _digitize(self, call: Call) -> Answer:
        for index in range(len(call.arguments)):
            self._knobs.put(_SHOWN, True, int(call.word(_INPUT_WORDS, index)[-1]))
        self._single()
        return Later(until=lambda: not self._acquisition.is_running())

    def _is_running(self) -> bool:
        return self._free or self._acquisition.is_running()

    def _run_state(self) -> str:
        if self._free:
            return "RUN"
        return "SING" if self._acquisition.is_running() else "STOP"

    def _acquisition_state(self) -> str:
        if self._free:
            return "ATRIG"
        return "ARM" if self._acquisition.is_running() else "ADONE"

    def _armed_event(self) -> str:
        armed, self._armed = self._armed, False
        return str(int(armed))

    def _done_event(self) -> str:
        if self._is_running() or not self._ended:
            return "0"
        self._ended = False
        return "1"

    def _trigger_event(self) -> str:
        self._acquisition.is_running()
        triggered, self._acquisition.triggered = self._acquisition.triggered, False
        return str(int(triggered or self._free))

    def _record(self) -> tuple[Frame, int]:
        """The record in memory and the input that is sent; -230 where there is none."""
        frame = None if self._free else self._acquisition.frame
        channel = int(self._knobs.text(_SENT)[-1])
        if frame is None or channel not in frame.spans_v:
            raise _NOTHING
        return frame, channel

    def _preamble(self) -> str:
        frame, channel = self._record()
        knobs = self._knobs
        kind = knobs.text(_FORMAT)
        step_v = self._volts_per_word(channel) * (256 if kind == "BYTE" else 1)
        middle_v = knobs.value(_OFFSET, channel)
        range_v = knobs.value(_RANGE, channel)
        numbers = (1 / frame.rate_hz, frame.begin_s, 0.0, step_v, middle_v)
        x_step, x_origin, x_reference, y_step, y_origin = (_precise(one) for one in numbers)
        display = (knobs.value(_WINDOW), frame.begin_s, range_v, middle_v - range_v / 2)
        return ",".join(
            (
                f"{_FORMATS[kind]},1,{frame.samples},0",
                f"{x_step},{x_origin},{_whole(float(x_reference))},{y_step},{y_origin},0,3",
                *(_precise(one) for one in display),
                f'"26 NOV 2026","12:00:00:00","{self.model}:{self._serial}",2,100,2,1',
                "2.00000000E+09,0.00000000E+00",
            )
        )

    def _data(self) -> str | bytes:
        _, channel = self._record()
        words = self._words(channel)
        kind = self._knobs.text(_FORMAT)
        order = "<" if self._knobs.text(_ORDER) == "LSBF" else ">"
        volts = words * self._volts_per_word(channel) + self._knobs.value(_OFFSET, channel)
        if kind == "ASC":
            return ",".join(engineering(one, 5) for one in volts.tolist())
        if kind == "BYTE":
            data = (words >> 8).astype(np.int8).tobytes()
        elif kind == "FLO":
            data = volts.astype(f"{order}f4").tobytes()
        else:
            data = words.astype(f"{order}i2").tobytes()
        return b"#0" + data if self._knobs.is_on(_STREAMING) else block(data)

    def _words(self, channel: int) -> NDArray[np.int32]:
        volts = self._acquisition.volts(channel)
        assert volts is not None  # _record looked
        step = 1 << (16 - _BITS[self.model])
        limit = _MARKS // step - 1
        codes = (volts - self._knobs.value(_OFFSET, channel)) / (
            step * self._volts_per_word(channel)
        )
        words: NDArray[np.int32] = np.clip(np.rint(codes), -limit, limit).astype(np.int32) * step
        return words


def _precise(value: float) -> str:
    return f"{value:.8E}"


def _whole(value: float) -> str:
    return str(int(value))


def _make(model: str, place: TwinPlace) -> Twin:
    return KeysightInfiniiumTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        parts=digitiser_parts(place),
        plugged=plugged_inputs(place),
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model}": partial(_make, model) for model in _BITS
}
