"""Twins of the Tektronix 5 and 6 Series MSO.

Model of the acquisition: sample rate and record length are taken as they are set; the trigger is at
`HORizontal:POSition` of the record; codes of 12 bits lie to the left in 16, 6400 of those per
division. Events wait until `*ESR?` is read.
"""

from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.wire.dialects.scope import Frame, headed
from sim_backend.wire.dialects.scope_twin import INPUTS, ScopeTwin, scope_makers
from sim_backend.wire.scpi_session import (
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    ScpiSession,
    block,
)
from sim_backend.wire.session import Session

__all__ = ["MAKERS", "TektronixMso56Twin"]

_SERIES: Final = ("MSO54", "MSO64")
_FIRMWARE = "CF:91.1CT FV:1.38.2.4"
_LONGEST = 62_500_000
_WORDS_PER_DIVISION = 6400
_HALF_SPAN = 1 << 15
_STEP = 1 << 4
_ARMING_S = 1e-3
_NOT_SHOWN = Complaint(-2244, "Source waveform is not active")
_SCALE, _OFFSET, _POSITION = ":CH#:SCAle", ":CH#:OFFSet", ":CH#:POSition"
_RATE, _LENGTH = ":HORizontal[:MODe]:SAMPLERate", ":HORizontal[:MODe]:RECOrdlength"
_TRIGGER_AT = ":HORizontal:POSition"
_SOURCE, _AUTO = ":TRIGger:A:EDGE:SOUrce", ":TRIGger:A:MODe"
_AFTER = ":ACQuire:STOPAfter"
_SENT, _ENCODING, _WIDTH = ":DATa:SOUrce", ":DATa:ENCdg", ":DATa:WIDth"
_FIRST, _LAST = ":DATa:STARt", ":DATa:STOP"
_INPUT_WORDS: Final = {f"CH{n}": f"CH{n}" for n in range(1, INPUTS + 1)}
_ENCODINGS: Final = {
    "RIBinary": "RIBINARY",
    "SRIbinary": "SRIBINARY",
    "RPBinary": "RPBINARY",
    "SRPbinary": "SRPBINARY",
    "ASCIi": "ASCII",
}
_UNITS: Final = {"V": 1.0, "MV": 1e-3, "S": 1.0}


class _Events(ErrorQueue):
    """Events of this maker: positive numbers, hidden until the register is read."""

    def __init__(self) -> None:
        super().__init__(size=32)
        self._hidden: deque[str] = deque()
        self._shown: deque[str] = deque()

    def add(self, number: int, text: str) -> None:
        """See `ErrorQueue.add`; the number loses its sign."""
        kind = abs(number) // (1000 if abs(number) >= 1000 else 100)
        self.events |= {1: 32, 2: 16, 4: 4}.get(kind, 8)
        if len(self._hidden) + len(self._shown) < 32:
            self._hidden.append(f'{abs(number)},"{text}"')
        elif self._hidden:
            self._hidden[-1] = '350,"Queue overflow"'

    def clear(self) -> None:
        """See `ErrorQueue.clear`."""
        self.events = 0
        self._hidden.clear()
        self._shown.clear()

    def register(self) -> str:
        """The standard event register, cleared; the events are released."""
        events, self.events = self.events, 0
        self._shown.extend(self._hidden)
        self._hidden.clear()
        return str(events)

    def all(self) -> str:
        """All released events, taken out."""
        text = ",".join(self._shown) or self._none()
        self._shown.clear()
        return text

    def one(self) -> str:
        """The oldest released event, taken out."""
        return self._shown.popleft() if self._shown else self._none()

    def _none(self) -> str:
        if self._hidden:
            return '1,"No events to report; new events pending *ESR?"'
        return '0,"No events to report; queue empty"'


class TektronixMso56Twin(ScopeTwin):
    """An oscilloscope such as `MSO54`; see `ScopeTwin` for the arguments."""

    shown = ":DISplay:GLObal:CH#:STATE"
    _headers = _verbose = True
    _started_s = 0.0
    _count = 0
    _scales: Mapping[int, tuple[float, float]] = MappingProxyType({})

    def session(self) -> Session:
        """See `Twin.session`."""
        return ScpiSession(
            self._clock, self._table, self._errors, complete=lambda: not self._in_sequence()
        )

    def _error_queue(self) -> ErrorQueue:
        self._events = _Events()
        return self._events

    def _commands(self) -> dict[str, Handler]:
        own = {**self._vertical(), **self._timing(), **self._running(), **self._transfer()}
        return {
            **self._common(),
            **{name: headed(name, one, self._style) for name, one in own.items()},
        }

    def _common(self) -> dict[str, Handler]:
        return {
            "*IDN?": lambda _: f"TEKTRONIX,{self.model},{self._serial},{_FIRMWARE}",
            "*RST": lambda _: self._preset(),
            "*ESR?": lambda _: self._events.register(),
            ":SYSTem:ERRor[:NEXT]?": self._unknown,
            ":HEADer": self._set_headers,
            ":HEADer?": lambda _: (":HEADER " if self._headers else "") + str(int(self._headers)),
            ":VERBose": self._set_verbose,
        }

    def _vertical(self) -> dict[str, Handler]:
        knobs = self._knobs
        return {
            **knobs.flag(self.shown, False),
            **knobs.number(_SCALE, 0.1, (500e-6, 10.0), units=_UNITS, write=_nr3),
            **knobs.number(_OFFSET, 0.0, (-100.0, 100.0), units=_UNITS, write=_nr3),
            **knobs.number(_POSITION, 0.0, (-10.0, 10.0), write=_nr3),
            **knobs.word(":CH#:COUPling", "DC", {"AC": "AC", "DC": "DC", "DCREJect": "DCREJ"}),
            **knobs.number(":CH#:TERmination", 1e6, (50.0, 1e6), write=_nr3),
            ":CH#:BANdwidth": lambda _: None,
            ":CH#:BANdwidth?": lambda _: "1.0000E+9",
            ":SELect:CH#": lambda call: knobs.put(self.shown, call.flag(), *call.suffixes),
            ":SELect:CH#?": lambda call: str(int(knobs.is_on(self.shown, *call.suffixes))),
        }

    def _timing(self) -> dict[str, Handler]:
        knobs = self._knobs
        slopes = {"RISe": "RISE", "FALL": "FALL", "EITher": "EITHER"}
        return {
            **knobs.word(":HORizontal:MODe", "AUTO", {"AUTO": "AUTO", "MANual": "MANUAL"}),
            **knobs.number(_RATE, 1.25e6, (1.0, 6.25e9), write=_nr3),
            **knobs.number(_LENGTH, 12500.0, (100, _LONGEST), write=_nr1),
            **knobs.number(_TRIGGER_AT, 50.0, (0.0, 100.0), write=_nr3),
            ":HORizontal[:MODe]:SCAle?": lambda _: _nr3(self._next_frame().duration_s / 10),
            **knobs.word(":TRIGger:A:TYPe", "EDGE", {"EDGE": "EDGE"}),
            **knobs.word(_SOURCE, "CH1", {**_INPUT_WORDS, "AUXiliary": "AUX", "LINE": "LINE"}),
            **knobs.word(":TRIGger:A:EDGE:SLOpe", "RISE", slopes),
            **knobs.number(":TRIGger:A:LEVel:CH#", 0.0, (-50.0, 50.0), units=_UNITS, write=_nr3),
            **knobs.word(_AUTO, "AUTO", {"AUTO": "AUTO", "NORMal": "NORMAL"}),
        }

    def _running(self) -> dict[str, Handler]:
        knobs = self._knobs
        modes = {
            "SAMple": "SAMPLE",
            "AVErage": "AVERAGE",
            "HIRes": "HIRES",
            "PEAKdetect": "PEAKDETECT",
            "ENVelope": "ENVELOPE",
        }
        return {
            **knobs.word(":ACQuire:MODe", "SAMPLE", modes),
            **knobs.number(":ACQuire:NUMAVg", 16.0, (2, 10240), write=_nr1),
            **knobs.word(_AFTER, "RUNSTOP", {"RUNSTop": "RUNSTOP", "SEQuence": "SEQUENCE"}),
            ":ACQuire:STATE": self._run,
            ":ACQuire:STATE?": lambda _: str(int(self._is_running())),
            ":ACQuire:NUMACq?": lambda _: str(self._acquired()),
            ":TRIGger": self._force,
            ":TRIGger:STATE?": lambda _: self._trigger_state(),
            ":BUSY?": lambda _: str(int(self._in_sequence())),
            ":ALLEv?": lambda _: self._events.all(),
            ":EVMsg?": lambda _: self._events.one(),
            ":EVENT?": lambda _: self._events.one().partition(",")[0],
        }

    def _transfer(self) -> dict[str, Handler]:
        knobs = self._knobs
        fields: dict[str, Callable[[], str]] = {
            "BYT_Nr": lambda: _nr1(knobs.value(_WIDTH)),
            "BIT_Nr": lambda: _nr1(8 * knobs.value(_WIDTH)),
            "ENCdg": lambda: "ASCII" if knobs.text(_ENCODING) == "ASCII" else "BINARY",
            "BN_Fmt": lambda: "RP" if "RP" in knobs.text(_ENCODING) else "RI",
            "ASC_Fmt": lambda: "INTEGER",
            "BYT_Or": lambda: "LSB" if knobs.text(_ENCODING).startswith("SR") else "MSB",
            "WFId": lambda: f'"Ch{self._sent()}, DC coupling"',
            "NR_Pt": lambda: str(self._window(self._frame())[1]),
            "PT_Fmt": lambda: "Y",
            "PT_ORder": lambda: "LINEAR",
            "XUNit": lambda: '"s"',
            "XINcr": lambda: _fine(1 / self._frame().rate_hz),
            "XZEro": lambda: _fine(self._frame().begin_s),
            "PT_Off": lambda: "0",
            "YUNit": lambda: '"V"',
            "YMUlt": lambda: _fine(self._volts_per_word()),
            "YOFf": lambda: "0.0E+0",
            "YZEro": lambda: _fine(self._scaling()[1]),
            "DOMain": lambda: "TIME",
            "WFMTYPe": lambda: "ANALOG",
            "CENTERFREQuency": lambda: "0.0E+0",
            "SPAN": lambda: "0.0E+0",
        }
        return {
            **knobs.word(_SENT, "CH1", _INPUT_WORDS),
            **knobs.word(_ENCODING, "RIBINARY", _ENCODINGS),
            **knobs.number(_WIDTH, 2.0, (1, 2), write=_nr1),
            ":WFMOutpre:BYT_Nr": lambda call: knobs.put(_WIDTH, _one_or_two(call)),
            **knobs.number(_FIRST, 1.0, (1, 1e9), write=_nr1),
            **knobs.number(_LAST, 12500.0, (1, 1e9), write=_nr1),
            ":DATa:SOUrce:AVAILable?": lambda _: ",".join(f"CH{n}" for n in self._shown()),
            **{f":WFMOutpre:{name}?": _asking(one) for name, one in fields.items()},
            ":WFMOutpre?": lambda _: ";".join(one() for one in fields.values()),
            ":CURVe?": lambda _: self._curve(),
        }

    def _style(self) -> str:
        """How headers are written now."""
        return ("long" if self._verbose else "short") if self._headers else ""

    @staticmethod
    def _unknown(_: Call) -> None:
        raise Complaint(-113, "Undefined header")

    def _set_headers(self, call: Call) -> None:
        self._headers = call.flag()

    def _set_verbose(self, call: Call) -> None:
        self._verbose = call.flag()

    def _middle_v(self, channel: int) -> float:
        """Volts in the middle of the display."""
        knobs = self._knobs
        moved_v = knobs.value(_POSITION, channel) * knobs.value(_SCALE, channel)
        return knobs.value(_OFFSET, channel) - moved_v

    def _span_v(self, channel: int) -> float:
        half_v = self._knobs.value(_SCALE, channel) * _HALF_SPAN / _WORDS_PER_DIVISION
        return half_v + abs(self._middle_v(channel))

    def _next_frame(self) -> Frame:
        knobs = self._knobs
        rate_hz, samples = knobs.value(_RATE), int(knobs.value(_LENGTH))
        before = int(samples * knobs.value(_TRIGGER_AT) / 100)
        begin_s = -before / rate_hz
        return Frame(rate_hz=rate_hz, samples=samples, begin_s=begin_s, spans_v=self._spans_v())

    def _note_scales(self) -> None:
        """A record keeps the scales with which it was taken."""
        self._scales = {n: (self._knobs.value(_SCALE, n), self._middle_v(n)) for n in self._shown()}

    def _run(self, call: Call) -> None:
        if call.argument().upper() not in ("ON", "RUN", "1"):
            self._halt()
            return
        self._acquisition.stop()
        self._note_scales()
        self._free = self._knobs.text(_AFTER) == "RUNSTOP"
        self._count = 0
        self._started_s = self._clock.now()
        if not self._free:
            auto = self._knobs.text(_AUTO) == "AUTO"
            self._wait_for(self._knobs.text(_SOURCE), auto=auto)
            self._count = 1

    def _halt(self) -> None:
        if self._free:
            self._note_scales()
            self._acquisition.keep(self._next_frame())
        if self._in_sequence():
            self._count = 0
        self._free = False
        self._acquisition.stop()

    def _force(self, call: Call) -> None:
        call.word({"FORCe": "FORCE"})
        if self._trigger_state() == "READY":
            self._acquisition.force()

    def _in_sequence(self) -> bool:
        return self._acquisition.is_running()

    def _is_running(self) -> bool:
        return self._free or self._in_sequence()

    def _acquired(self) -> int:
        return 0 if self._in_sequence() else self._count

    def _trigger_state(self) -> str:
        if self._free:
            return "AUTO"
        if not self._in_sequence():
            return "SAVE"
        filling_s = _ARMING_S - self._next_frame().begin_s
        return "ARMED" if self._clock.now() < self._started_s + filling_s else "READY"

    def _sent(self) -> int:
        return int(self._knobs.text(_SENT)[2:])

    def _frame(self) -> Frame:
        """Of the record in memory; an event where there is none of the input that is sent."""
        frame = None if self._free else self._acquisition.frame
        if frame is None or self._sent() not in frame.spans_v:
            raise _NOT_SHOWN
        return frame

    def _scaling(self) -> tuple[float, float]:
        """Volts per division and volts in the middle of the record in memory."""
        self._frame()
        return self._scales.get(self._sent(), (0.1, 0.0))

    def _volts_per_word(self) -> float:
        return self._scaling()[0] / _WORDS_PER_DIVISION

    def _window(self, frame: Frame) -> tuple[int, int]:
        """Index of the first sample that is sent, and how many are."""
        ends = sorted((int(self._knobs.value(_FIRST)), int(self._knobs.value(_LAST))))
        first = min(ends[0], frame.samples)
        return first - 1, min(ends[1], frame.samples) - first + 1

    def _curve(self) -> str | bytes:
        words = self._words()
        width = int(self._knobs.value(_WIDTH))
        encoding = self._knobs.text(_ENCODING)
        values = words if width == 2 else words >> 8
        if encoding == "ASCII":
            return ",".join(map(str, values.tolist()))
        order = "<" if encoding.startswith("SR") else ">"
        if "RP" in encoding:
            values = values + (_HALF_SPAN if width == 2 else 128)
        kind = f"{order}{'u' if 'RP' in encoding else 'i'}{width}"
        return block(values.astype(kind).tobytes())

    def _words(self) -> NDArray[np.int32]:
        """The samples that are sent, as words of 16 bits with 12 of them used."""
        frame = self._frame()
        volts = self._acquisition.volts(self._sent())
        assert volts is not None  # _frame looked
        first, count = self._window(frame)
        part = volts[first : first + count].astype(np.float64) - self._scaling()[1]
        codes = np.rint(part / (self._volts_per_word() * _STEP))
        limit = _HALF_SPAN // _STEP
        return np.clip(codes, -limit, limit - 1).astype(np.int32) * _STEP


def _asking(field: Callable[[], str]) -> Handler:
    return lambda _: field()


def _one_or_two(call: Call) -> float:
    value = call.number()
    if value not in (1, 2):
        raise Complaint(-222, "Data out of range")
    return value


def _nr1(value: float) -> str:
    return str(int(value))


def _nr3(value: float) -> str:
    """As in `1.0000E-3`."""
    mantissa, _, exponent = f"{value:.4E}".partition("E")
    return f"{mantissa}E{int(exponent)}"


def _fine(value: float) -> str:
    mantissa, _, exponent = f"{value:.10E}".partition("E")
    return f"{mantissa}E{int(exponent)}"


MAKERS = scope_makers(TektronixMso56Twin, {f"Tektronix {model}": model for model in _SERIES})
