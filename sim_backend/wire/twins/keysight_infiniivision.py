"""Twins of the Keysight InfiniiVision 3000T, 4000A and 6000A oscilloscopes.

Model of the acquisition: the record covers the time range with as many points as `:WAV:POIN` asks
for, as far as the converter is fast enough; in the mode NORM at most 1000 of them are sent. The
eight divisions are 199 of the 256 codes; codes 1 and 255 are the ends of the converter.
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
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "KeysightInfiniiVisionTwin"]

_RATES: Final = {"MSO-X 3024T": 5e9, "DSO-X 4024A": 5e9, "DSO-X 6004A": 20e9}
_FIRMWARE = "07.50.2021102830"
_INPUTS = 4
_MEMORY = 4_000_000
_NORMAL_POINTS = 1000
_COUNTS: Final = (100, 250, 500, *(m * 10**e for e in range(3, 7) for m in (1, 2, 5)))
_CODES_PER_RANGE = 199
_MIDDLE = 128
_LOWEST, _HIGHEST = 1, 255
_RUNNING = 8
_STALE = Complaint(-230, "Data corrupt or stale")
_RANGE, _OFFSET, _PROBE = ":CHANnel#:RANGe", ":CHANnel#:OFFSet", ":CHANnel#:PROBe"
_SHOWN, _INVERTED = ":CHANnel#:DISPlay", ":CHANnel#:INVert"
_WINDOW, _POSITION = ":TIMebase:RANGe", ":TIMebase:POSition"
_SOURCE, _SWEEP = ":TRIGger[:EDGE]:SOURce", ":TRIGger:SWEep"
_TYPE, _COUNT = ":ACQuire:TYPE", ":ACQuire:COUNt"
_SENT, _FORMAT, _ORDER = ":WAVeform:SOURce", ":WAVeform:FORMat", ":WAVeform:BYTeorder"
_UNSIGNED, _MODE, _POINTS = (
    ":WAVeform:UNSigned",
    ":WAVeform:POINts:MODE",
    ":WAVeform:POINts",
)
_INPUT_WORDS: Final = {f"CHANnel{n}": f"CHAN{n}" for n in range(1, _INPUTS + 1)}
_TRIGGER_WORDS: Final = {**_INPUT_WORDS, "EXTernal": "EXT", "LINE": "LINE", "WGEN": "WGEN"}
_TYPES: Final = {"NORM": 0, "PEAK": 1, "AVER": 2, "HRES": 3}
_FORMATS: Final = {"BYTE": 0, "WORD": 1, "ASC": 4}


class KeysightInfiniiVisionTwin(Twin):
    """An oscilloscope.

    Args:
        model: as in `*IDN?`, such as `DSO-X 4024A`.
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
        self._errors = ErrorQueue(size=30, overflow=(350, "Queue overflow"))
        self._acquisition = Acquisition(clock, parts, plugged)
        self._knobs = Knobs()
        self._free = True
        self._armed = False
        self._table = {
            **self._vertical(),
            **self._timing(),
            **self._running(),
            **self._transfer(),
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

    def _vertical(self) -> dict[str, Handler]:
        knobs = self._knobs
        on = {"AC": "AC", "DC": "DC"}
        impedances = {"ONEMeg": "ONEM", "FIFTy": "FIFT"}
        return {
            **knobs.flag(_SHOWN, False),
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
        slopes = {"POSitive": "POS", "NEGative": "NEG", "EITHer": "EITH", "ALTernate": "ALT"}
        return {
            **knobs.number(_WINDOW, 1e-3, (2e-9, 500.0), units=SECONDS),
            **knobs.number(_POSITION, 0.0, (-500.0, 500.0), units=SECONDS),
            **knobs.word(":TIMebase:MODE", "MAIN", {"MAIN": "MAIN"}),
            **knobs.word(":TIMebase:REFerence", "CENT", {"CENTer": "CENT"}),
            **knobs.word(":TRIGger:MODE", "EDGE", {"EDGE": "EDGE"}),
            **knobs.word(_SOURCE, "CHAN1", _TRIGGER_WORDS),
            **knobs.number(":TRIGger[:EDGE]:LEVel", 0.0, (-60.0, 60.0), units=VOLTS),
            **knobs.word(":TRIGger[:EDGE]:SLOPe", "POS", slopes),
            **knobs.word(_SWEEP, "AUTO", {"AUTO": "AUTO", "NORMal": "NORM"}),
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
            **knobs.word(_SENT, "CHAN1", _INPUT_WORDS),
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
            f"DISP {int(knobs.is_on(_SHOWN, *at))};BWL {int(knobs.is_on(':CHANnel#:BWLimit', *at))}"
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

    def _next_frame(self) -> Frame:
        """What an acquisition would take now."""
        knobs = self._knobs
        window_s = knobs.value(_WINDOW)
        fastest = int(_RATES[self.model] * window_s)
        samples = max(1, min(int(knobs.value(_POINTS)), _MEMORY, fastest))
        spans_v = {
            n: (_MIDDLE * self._step_v(n) + abs(knobs.value(_OFFSET, n))) / knobs.value(_PROBE, n)
            for n in range(1, _INPUTS + 1)
            if knobs.is_on(_SHOWN, n)
        }
        return Frame(
            rate_hz=samples / window_s,
            samples=samples,
            begin_s=knobs.value(_POSITION) - window_s / 2,
            spans_v=spans_v,
        )

    def _run(self) -> None:
        self._acquisition.stop()
        self._free = self._armed = True

    def _stop(self) -> None:
        if self._free:
            self._acquisition.keep(self._next_frame())
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
        self._armed = True

    def _digitize(self, call: Call) -> Answer:
        for index in range(len(call.arguments)):
            self._knobs.put(_SHOWN, True, int(call.word(_INPUT_WORDS, index)[-1]))
        self._single()
        return Later(until=lambda: not self._acquisition.is_running())

    def _is_running(self) -> bool:
        return self._free or self._acquisition.is_running()

    def _armed_event(self) -> str:
        armed, self._armed = self._armed, False
        return str(int(armed))

    def _trigger_event(self) -> str:
        self._acquisition.is_running()
        triggered, self._acquisition.triggered = self._acquisition.triggered, False
        return str(int(triggered or self._free))

    def _record(self) -> tuple[Frame, int]:
        """The record in memory and the input that is sent; -230 where there is none."""
        frame = None if self._is_running() else self._acquisition.frame
        channel = int(self._knobs.text(_SENT)[-1])
        if frame is None or channel not in frame.spans_v:
            raise _STALE
        return frame, channel

    def _sent_points(self) -> int:
        """As many as are asked for, as far as there are as many; counts of the guide."""
        knobs = self._knobs
        frame = None if self._is_running() else self._acquisition.frame
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


def _make(model: str, place: TwinPlace) -> Twin:
    return KeysightInfiniiVisionTwin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        parts=digitiser_parts(place),
        plugged=plugged_inputs(place),
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Keysight {model.replace('-X ', 'X')}": partial(_make, model) for model in _RATES
}
