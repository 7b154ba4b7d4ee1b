"""Twins of the Keysight InfiniiVision 3000T, 4000A and 6000A oscilloscopes.

Model of the acquisition: the record covers the time range with as many points as `:WAV:POIN` asks
for, as far as the converter is fast enough; in the mode NORM at most 1000 of them are sent. The
eight divisions are 199 of the 256 codes; codes 1 and 255 are the ends of the converter.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.wire.dialects.scope import (
    SECONDS,
    VOLTS,
    Frame,
    engineering,
)
from sim_backend.wire.dialects.scope_twin import KeysightScopeTwin, scope_makers
from sim_backend.wire.scpi_session import Call, Complaint, ErrorQueue, Handler

__all__ = ["MAKERS", "KeysightInfiniiVisionTwin"]

_RATES: Final = {"MSO-X 3024T": 5e9, "DSO-X 4024A": 5e9, "DSO-X 6004A": 20e9}
_FIRMWARE = "07.50.2021102830"
_MEMORY = 4_000_000
_NORMAL_POINTS = 1000
_COUNTS: Final = (100, 250, 500, *(m * 10**e for e in range(3, 7) for m in (1, 2, 5)))
_CODES_PER_RANGE = 199
_MIDDLE = 128
_LOWEST, _HIGHEST = 1, 255
_RUNNING = 8
_RANGE, _OFFSET, _PROBE = ":CHANnel#:RANGe", ":CHANnel#:OFFSet", ":CHANnel#:PROBe"
_INVERTED = ":CHANnel#:INVert"
_WINDOW, _POSITION = ":TIMebase:RANGe", ":TIMebase:POSition"
_TYPE, _COUNT = ":ACQuire:TYPE", ":ACQuire:COUNt"
_FORMAT, _ORDER = ":WAVeform:FORMat", ":WAVeform:BYTeorder"
_UNSIGNED, _MODE, _POINTS = (
    ":WAVeform:UNSigned",
    ":WAVeform:POINts:MODE",
    ":WAVeform:POINts",
)
_TYPES: Final = {"NORM": 0, "PEAK": 1, "AVER": 2, "HRES": 3}
_FORMATS: Final = {"BYTE": 0, "WORD": 1, "ASC": 4}


class KeysightInfiniiVisionTwin(KeysightScopeTwin):
    """An oscilloscope such as `DSO-X 4024A`; see `ScopeTwin` for the arguments."""

    shown = ":CHANnel#:DISPlay"
    source = ":TRIGger[:EDGE]:SOURce"

    def _error_queue(self) -> ErrorQueue:
        return ErrorQueue(size=30, overflow=(350, "Queue overflow"))

    def _commands(self) -> dict[str, Handler]:
        return {**self._vertical(), **self._timing(), **self._running(), **self._transfer()}

    def _vertical(self) -> dict[str, Handler]:
        knobs = self._knobs
        on = {"AC": "AC", "DC": "DC"}
        impedances = {"ONEMeg": "ONEM", "FIFTy": "FIFT"}
        return {
            **knobs.flag(self.shown, False),
            **knobs.number(_RANGE, 40.0, (8e-3, 40.0), units=VOLTS),
            **knobs.number(_OFFSET, 0.0, (-40.0, 40.0), units=VOLTS),
            **knobs.number(_PROBE, 1.0, (0.1, 1e4), units={"X": 1.0}),
            **knobs.word(":CHANnel#:COUPling", "DC", on),
            **knobs.word(":CHANnel#:IMPedance", "ONEM", impedances),
            **knobs.flag(":CHANnel#:BWLimit", False),
            **knobs.flag(_INVERTED, False),
            ":CHANnel#:SCALe": self._scale,
            ":CHANnel#:SCALe?": lambda call: engineering(knobs.value(_RANGE, *call.suffixes) / 8),
            ":CHANnel#:LABel": lambda _: None,
            ":CHANnel#?": self._input_group,
        }

    def _timing(self) -> dict[str, Handler]:
        knobs = self._knobs
        sources = {**self.input_words, "EXTernal": "EXT", "LINE": "LINE", "WGEN": "WGEN"}
        slopes = {"POSitive": "POS", "NEGative": "NEG", "EITHer": "EITH", "ALTernate": "ALT"}
        return {
            **knobs.number(_WINDOW, 1e-3, (2e-9, 500.0), units=SECONDS),
            **knobs.number(_POSITION, 0.0, (-500.0, 500.0), units=SECONDS),
            **knobs.word(":TIMebase:MODE", "MAIN", {"MAIN": "MAIN"}),
            **knobs.word(":TIMebase:REFerence", "CENT", {"CENTer": "CENT"}),
            **knobs.word(":TRIGger:MODE", "EDGE", {"EDGE": "EDGE"}),
            **knobs.word(self.source, "CHAN1", sources),
            **knobs.number(":TRIGger[:EDGE]:LEVel", 0.0, (-60.0, 60.0), units=VOLTS),
            **knobs.word(":TRIGger[:EDGE]:SLOPe", "POS", slopes),
            **knobs.word(self.sweep, "AUTO", {"AUTO": "AUTO", "NORMal": "NORM"}),
            ":TIMebase:SCALe": self._time_scale,
            ":TIMebase:SCALe?": lambda _: engineering(knobs.value(_WINDOW) / 10),
            ":TIMebase?": self._time_group,
        }

    def _running(self) -> dict[str, Handler]:
        knobs = self._knobs
        kinds = {"NORMal": "NORM", "AVERage": "AVER", "HRESolution": "HRES", "PEAK": "PEAK"}
        return {
            "*IDN?": lambda _: f"KEYSIGHT TECHNOLOGIES,{self.model},{self._serial},{_FIRMWARE}",
            "*RST": lambda _: self._preset(),
            "*OPT?": lambda _: "0",
            "*TRG": lambda _: self._digitize(Call()),
            ":RUN": lambda _: self._run(),
            ":STOP": lambda _: self._stop(),
            ":SINGle": lambda _: self._single(),
            ":DIGitize": self._digitize,
            ":TRIGger:FORCe": lambda _: self._acquisition.force(),
            ":OPERegister:CONDition?": lambda _: str(_RUNNING if self._is_running() else 0),
            ":AER?": lambda _: self._armed_event(),
            ":TER?": lambda _: self._trigger_event(),
            **knobs.word(_TYPE, "NORM", kinds),
            **knobs.number(_COUNT, 8.0, (2, 65536), write=_whole),
            **knobs.number(":ACQuire:COMPlete", 100.0, (0, 100), write=_whole),
            **knobs.word(":ACQuire:MODE", "RTIM", {"RTIMe": "RTIM", "SEGMented": "SEGM"}),
            ":ACQuire:POINts?": lambda _: str(self._next_frame().samples),
            ":ACQuire:SRATe?": lambda _: _precise(self._next_frame().rate_hz),
            ":AUToscale": lambda _: None,
            ":SYSTem:PRESet": lambda _: self._preset(),
        }

    def _transfer(self) -> dict[str, Handler]:
        knobs = self._knobs
        formats = {"BYTE": "BYTE", "WORD": "WORD", "ASCii": "ASC"}
        modes = {"NORMal": "NORM", "MAXimum": "MAX", "RAW": "RAW"}
        return {
            **knobs.word(self.sent, "CHAN1", self.input_words),
            **knobs.word(_FORMAT, "BYTE", formats),
            **knobs.word(_ORDER, "MSBF", {"MSBFirst": "MSBF", "LSBFirst": "LSBF"}),
            **knobs.flag(_UNSIGNED, True),
            **knobs.word(_MODE, "NORM", modes),
            **knobs.number(_POINTS, float(_NORMAL_POINTS), (_COUNTS[0], 1e9)),
            _POINTS: self._set_points,
            f"{_POINTS}?": lambda _: str(self._sent_points()),
            ":WAVeform:PREamble?": lambda _: self._preamble(),
            ":WAVeform:DATA?": lambda _: self._data(),
        }

    def _scale(self, call: Call) -> None:
        value = call.number(VOLTS)
        if not 1e-3 <= value <= 5.0:
            raise Complaint(-222, "Data out of range")
        self._knobs.put(_RANGE, 8 * value, *call.suffixes)

    def _time_scale(self, call: Call) -> None:
        value = call.number(SECONDS)
        if not 2e-10 <= value <= 50.0:
            raise Complaint(-222, "Data out of range")
        self._knobs.put(_WINDOW, 10 * value)

    def _input_group(self, call: Call) -> str:
        at = call.suffixes
        knobs = self._knobs
        return (
            f":CHAN{at[0]}:RANG {engineering(knobs.value(_RANGE, *at))};"
            f"OFFS {engineering(knobs.value(_OFFSET, *at))};"
            f"COUP {knobs.text(':CHANnel#:COUPling', *at)};"
            f"IMP {knobs.text(':CHANnel#:IMPedance', *at)};"
            f"DISP {int(knobs.is_on(self.shown, *at))};"
            f"BWL {int(knobs.is_on(':CHANnel#:BWLimit', *at))}"
        )

    def _time_group(self, _: Call) -> str:
        window, position = self._knobs.value(_WINDOW), self._knobs.value(_POSITION)
        return (
            f":TIM:MODE MAIN;REF CENT;MAIN:RANG {engineering(window)};POS {engineering(position)}"
        )

    def _set_points(self, call: Call) -> None:
        if call.argument().upper() in ("MAX", "MAXIMUM"):
            self._knobs.put(_POINTS, float(_MEMORY))
            return
        value = call.number()
        if not _COUNTS[0] <= value < 1e9:
            raise Complaint(-222, "Data out of range")
        self._knobs.put(_POINTS, float(max(one for one in _COUNTS if one <= value)))

    def _step_v(self, channel: int) -> float:
        """Volts of a code of eight bits."""
        return self._knobs.value(_RANGE, channel) / _CODES_PER_RANGE

    def _span_v(self, channel: int) -> float:
        half_v = _MIDDLE * self._step_v(channel) + abs(self._knobs.value(_OFFSET, channel))
        return half_v / self._knobs.value(_PROBE, channel)

    def _next_frame(self) -> Frame:
        knobs = self._knobs
        window_s = knobs.value(_WINDOW)
        fastest = int(_RATES[self.model] * window_s)
        samples = max(1, min(int(knobs.value(_POINTS)), _MEMORY, fastest))
        return Frame(
            rate_hz=samples / window_s,
            samples=samples,
            begin_s=knobs.value(_POSITION) - window_s / 2,
            spans_v=self._spans_v(),
        )

    def _in_memory(self) -> Frame | None:
        return None if self._is_running() else self._acquisition.frame

    def _sent_points(self) -> int:
        """As many as are asked for, as far as there are as many; counts of the guide."""
        knobs = self._knobs
        frame = self._in_memory()
        there = int(knobs.value(_POINTS)) if frame is None else frame.samples
        most = _NORMAL_POINTS if knobs.text(_MODE) == "NORM" else _MEMORY
        return min(int(knobs.value(_POINTS)), there, most)

    def _preamble(self) -> str:
        frame, channel = self._record()
        knobs = self._knobs
        word = knobs.text(_FORMAT) != "BYTE"
        points = self._sent_points()
        kind = knobs.text(_TYPE)
        middle = (_MIDDLE << 8 if word else _MIDDLE) if knobs.is_on(_UNSIGNED) else 0
        return ",".join(
            (
                str(_FORMATS[knobs.text(_FORMAT)]),
                str(_TYPES[kind]),
                str(points),
                _whole(knobs.value(_COUNT)) if kind == "AVER" else "1",
                _precise(frame.duration_s / points),
                _precise(frame.begin_s),
                "0",
                _precise(self._step_v(channel) / (256 if word else 1)),
                _precise(knobs.value(_OFFSET, channel)),
                str(middle),
            )
        )

    def _data(self) -> bytes:
        frame, channel = self._record()
        codes = self._record_codes(frame, channel)
        kind = self._knobs.text(_FORMAT)
        signed = not self._knobs.is_on(_UNSIGNED)
        if kind == "BYTE":
            data = (codes ^ 0x80 if signed else codes).tobytes()
        elif kind == "WORD":
            order = "<" if self._knobs.text(_ORDER) == "LSBF" else ">"
            words = codes.astype(np.uint16) << 8
            data = (words ^ 0x8000 if signed else words).astype(f"{order}u2").tobytes()
        else:
            offset_v, step_v = self._knobs.value(_OFFSET, channel), self._step_v(channel)
            volts = (codes.astype(np.float64) - _MIDDLE) * step_v + offset_v
            data = ",".join(engineering(one, 5) for one in volts.tolist()).encode()
        return f"#8{len(data):08d}".encode() + data

    def _record_codes(self, frame: Frame, channel: int) -> NDArray[np.uint8]:
        """Codes of the points that are sent."""
        volts = self._acquisition.volts(channel)
        assert volts is not None  # _record looked
        knobs = self._knobs
        points = self._sent_points()
        if points < volts.size:
            volts = volts[np.arange(points) * frame.samples // points]
        factor = knobs.value(_PROBE, channel) * (-1 if knobs.is_on(_INVERTED, channel) else 1)
        codes = volts * np.float32(factor / self._step_v(channel))
        codes += np.float32(_MIDDLE - knobs.value(_OFFSET, channel) / self._step_v(channel))
        np.rint(codes, out=codes)
        np.clip(codes, _LOWEST, _HIGHEST, out=codes)
        return codes.astype(np.uint8)


def _precise(value: float) -> str:
    """As in the preamble, such as `+2.50000000E-007`."""
    mantissa, _, exponent = f"{value:+.8E}".partition("E")
    return f"{mantissa}E{int(exponent):+04d}"


def _whole(value: float) -> str:
    return str(int(value))


MAKERS = scope_makers(
    KeysightInfiniiVisionTwin, {f"Keysight {model.replace('-X ', 'X')}": model for model in _RATES}
)
