"""Twins of the Keysight Infiniium oscilloscopes of the S and V series.

Model of the acquisition: sample rate and points are taken as they are set, around the reference in
the middle; words are signed, the converter's bits to the left, 61440 of them on eight divisions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.wire.dialects.scope import (
    SECONDS,
    VOLTS,
    Frame,
    engineering,
    headed,
)
from sim_backend.wire.dialects.scope_twin import KeysightScopeTwin, scope_makers
from sim_backend.wire.scpi_session import Call, ErrorQueue, Handler, block

__all__ = ["MAKERS", "KeysightInfiniiumTwin"]

_BITS: Final = {"DSOS204A": 10, "DSOV084A": 8}
_FIRMWARE = "06.20.01301"
_LONGEST = 50_000_000
_WORDS_PER_RANGE = 61440
_HALF_SPAN = 1 << 15
_MARKS = 31232
_RANGE, _OFFSET = ":CHANnel#:RANGe", ":CHANnel#:OFFSet"
_WINDOW, _POSITION = ":TIMebase:RANGe", ":TIMebase:POSition"
_RATE, _POINTS = ":ACQuire:SRATe", ":ACQuire:POINts"
_FORMAT, _ORDER = ":WAVeform:FORMat", ":WAVeform:BYTeorder"
_STREAMING = ":WAVeform:STReaming"
_FORMATS: Final = {"ASC": 0, "BYTE": 1, "WORD": 2, "BIN": 2, "FLO": 5}


class KeysightInfiniiumTwin(KeysightScopeTwin):
    """An oscilloscope such as `DSOS204A`; see `ScopeTwin` for the arguments."""

    shown = ":CHANnel#:DISPlay"
    source = ":TRIGger:EDGE:SOURce"
    _headers = True
    _ended = False
    _levels: Mapping[str, float] = MappingProxyType({})

    def _error_queue(self) -> ErrorQueue:
        return ErrorQueue(size=30, empty='0,"No error"', plus=False)

    def _commands(self) -> dict[str, Handler]:
        own = {**self._panel(), **self._transfer()}
        return {
            **self._running(),
            **{name: headed(name, one, self._style) for name, one in own.items()},
        }

    def _style(self) -> str:
        return "short" if self._headers else ""

    def _panel(self) -> dict[str, Handler]:
        knobs = self._knobs
        slopes = {"POSitive": "POS", "NEGative": "NEG", "EITHer": "EITH"}
        inputs = {"DC": "DC", "DC50": "DC50", "DCFifty": "DC50"}
        sources = {**self.input_words, "AUX": "AUX", "LINE": "LINE"}
        return {
            **knobs.flag(self.shown, False),
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
            **knobs.word(self.source, "CHAN1", sources),
            **knobs.word(":TRIGger:EDGE:SLOPe", "POS", slopes),
            **knobs.word(self.sweep, "AUTO", {"AUTO": "AUTO", "TRIGgered": "TRIG"}),
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
            ":STOP": lambda _: self._stop(),
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
            **knobs.word(self.sent, "CHAN1", self.input_words),
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
        word = call.word(self.input_words)
        self._levels = {**self._levels, word: call.number(VOLTS, 1)}

    def _level(self, call: Call) -> str:
        return engineering(self._levels.get(call.word(self.input_words), 0.0))

    def _volts_per_word(self, channel: int) -> float:
        return self._knobs.value(_RANGE, channel) / _WORDS_PER_RANGE

    def _span_v(self, channel: int) -> float:
        offset_v = abs(self._knobs.value(_OFFSET, channel))
        return _HALF_SPAN * self._volts_per_word(channel) + offset_v

    def _next_frame(self) -> Frame:
        knobs = self._knobs
        rate_hz, samples = knobs.value(_RATE), int(knobs.value(_POINTS))
        begin_s = knobs.value(_POSITION) - samples / rate_hz / 2
        return Frame(rate_hz=rate_hz, samples=samples, begin_s=begin_s, spans_v=self._spans_v())

    def _stop(self) -> None:
        self._ended = self._ended and not self._acquisition.is_running()
        super()._stop()

    def _single(self) -> None:
        super()._single()
        self._ended = True

    def _run_state(self) -> str:
        if self._free:
            return "RUN"
        return "SING" if self._acquisition.is_running() else "STOP"

    def _acquisition_state(self) -> str:
        if self._free:
            return "ATRIG"
        return "ARM" if self._acquisition.is_running() else "ADONE"

    def _done_event(self) -> str:
        if self._is_running() or not self._ended:
            return "0"
        self._ended = False
        return "1"

    def _in_memory(self) -> Frame | None:
        return None if self._free else self._acquisition.frame

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


MAKERS = scope_makers(KeysightInfiniiumTwin, {f"Keysight {model}": model for model in _BITS})
