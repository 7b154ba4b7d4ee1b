"""Twins of the Rohde & Schwarz RTO and RTP.

Model of the acquisition: the record has the sample rate that was set over the time range, with the
trigger in the middle; codes of 8 bits, 253 of which are the ten divisions.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim_backend.wire.dialects.scope import Frame
from sim_backend.wire.dialects.scope_twin import INPUTS, ScopeTwin, scope_makers
from sim_backend.wire.scpi_session import Call, Complaint, ErrorQueue, Handler, block

__all__ = ["MAKERS", "RohdeSchwarzRtoTwin"]

_FAMILIES: Final = {"RTO": "RTO1044", "RTP": "RTP084"}
_PART = "1329.7002k14"
_FIRMWARE = "4.40.2.0"
_DIVISIONS = 10
_SHOWN_CODES = 253
_MEMORY = 50_000_000
_FASTEST_HZ = 10e9
_WAITING, _MEASURING = 8, 16
_RANGE = ":CHANnel#:RANGe"
_OFFSET, _POSITION = ":CHANnel#:OFFSet", ":CHANnel#:POSition"
_WINDOW, _RATE = ":TIMebase:RANGe", ":ACQuire:SRATe"
_COUNT = ":ACQuire:COUNt"
_SOURCE, _TRIGGERING = ":TRIGger#:SOURce", ":TRIGger#:MODE"
_ORDER = ":FORMat:BORDer"
_INPUT_WORDS: Final = {f"CHANnel{n}": f"CHAN{n}" for n in range(1, INPUTS + 1)}
_FORMATS: Final = ("INT,8", "INT,16", "REAL,32", "ASC,0")
_NOTHING = Complaint(-230, "Data corrupt or stale")


class RohdeSchwarzRtoTwin(ScopeTwin):
    """An oscilloscope, `RTO` or `RTP`; see `ScopeTwin` for the arguments."""

    shown = ":CHANnel#:STATe"
    _done = 0
    _format = "ASC,0"

    def _error_queue(self) -> ErrorQueue:
        return ErrorQueue(size=30, empty='0,"No error"', plus=False)

    def _commands(self) -> dict[str, Handler]:
        return {**self._vertical(), **self._timing(), **self._running(), **self._transfer()}

    def _preset(self) -> None:
        super()._preset()
        self._format = "ASC,0"

    def _vertical(self) -> dict[str, Handler]:
        knobs = self._knobs
        couplings = {"DC": "DC", "DCLimit": "DCL", "AC": "AC"}
        return {
            **knobs.flag(self.shown, False),
            **knobs.number(_RANGE, 0.5, (10e-3, 100.0), write=_number),
            **knobs.number(_OFFSET, 0.0, (-100.0, 100.0), write=_number),
            **knobs.number(_POSITION, 0.0, (-5.0, 5.0), write=_number),
            **knobs.word(":CHANnel#:COUPling", "DCL", couplings),
            ":CHANnel#:SCALe": self._set_scale,
            ":CHANnel#:SCALe?": lambda call: _number(self._scale(*call.suffixes)),
        }

    def _timing(self) -> dict[str, Handler]:
        knobs = self._knobs
        modes = {"AUTO": "AUTO", "NORMal": "NORM", "FREerun": "FRE"}
        words = {**_INPUT_WORDS, "EXTernanalog": "EXT", "NOISe": "NOIS"}
        return {
            **knobs.number(_WINDOW, 1e-7, (2.5e-10, 1e5), write=_number),
            ":TIMebase:SCALe": lambda call: knobs.put(_WINDOW, _DIVISIONS * _window(call)),
            ":TIMebase:SCALe?": lambda _: _number(knobs.value(_WINDOW) / _DIVISIONS),
            ":TIMebase:DIVisions?": lambda _: str(_DIVISIONS),
            **knobs.word(_SOURCE, "CHAN1", words),
            **knobs.number(":TRIGger#:LEVel#", 0.0, (-50.0, 50.0), write=_number),
            **knobs.word(_TRIGGERING, "AUTO", modes),
        }

    def _running(self) -> dict[str, Handler]:
        knobs = self._knobs
        firmware = f"{_PART}/{self._serial},{_FIRMWARE}"
        return {
            "*IDN?": lambda _: f"Rohde&Schwarz,{self.model},{firmware}",
            "*RST": lambda _: self._preset(),
            ":DIAGnostic:SERVice:WFAModel?": lambda _: _FAMILIES[self.model],
            ":RUN": lambda _: self._run(),
            ":RUNContinous": lambda _: self._run(),
            ":SINGle": lambda _: self._single(),
            ":RUNSingle": lambda _: self._single(),
            ":STOP": lambda _: self._halt(),
            ":STATus:OPERation:CONDition?": lambda _: str(self._condition()),
            **knobs.number(_RATE, 1e9, (2.0, _FASTEST_HZ), write=_number),
            **knobs.number(_COUNT, 1.0, (1, 16_777_215), write=_whole),
            ":ACQuire:CURRent?": lambda _: str(self._acquired()),
            ":ACQuire:POINts?": lambda _: str(self._next_frame().samples),
            ":ACQuire:POINts:ARATe?": lambda _: _number(_FASTEST_HZ),
            ":SYSTem:ERRor:COUNt?": lambda _: str(len(self._errors)),
            ":SYSTem:ERRor:ALL?": lambda _: self._all_errors(),
        }

    def _transfer(self) -> dict[str, Handler]:
        knobs = self._knobs
        return {
            ":FORMat[:DATA]": self._set_format,
            ":FORMat[:DATA]?": lambda _: self._format,
            **knobs.word(_ORDER, "LSBF", {"LSBFirst": "LSBF", "MSBFirst": "MSBF"}),
            **knobs.flag(":EXPort:WAVeform:INCXvalues", False),
            **knobs.flag(":EXPort:WAVeform:MULTichannel", False),
            ":CHANnel#[:WAVeform#]:DATA:HEADer?": lambda call: self._header(call.suffixes[0]),
            ":CHANnel#[:WAVeform#]:DATA[:VALues]?": lambda call: self._data(call.suffixes[0]),
        }

    def _scale(self, channel: int) -> float:
        return self._knobs.value(_RANGE, channel) / _DIVISIONS

    def _set_scale(self, call: Call) -> None:
        value = call.number()
        if not 1e-3 <= value <= 10.0:
            raise Complaint(-222, "Data out of range")
        self._knobs.put(_RANGE, _DIVISIONS * value, *call.suffixes)

    def _set_format(self, call: Call) -> None:
        said = ",".join(call.arguments).upper().replace("ASCII", "ASC")
        said = {"ASC": "ASC,0", "REAL": "REAL,32"}.get(said, said)
        if said not in _FORMATS:
            raise Complaint(-224, "Illegal parameter value")
        self._format = said

    def _middle_v(self, channel: int) -> float:
        """Volts of the code 0."""
        position = self._knobs.value(_POSITION, channel)
        return self._knobs.value(_OFFSET, channel) - self._scale(channel) * position

    def _step_v(self, channel: int) -> float:
        return self._knobs.value(_RANGE, channel) / _SHOWN_CODES

    def _span_v(self, channel: int) -> float:
        return 128 * self._step_v(channel) + abs(self._middle_v(channel))

    def _next_frame(self) -> Frame:
        rate_hz = self._knobs.value(_RATE)
        samples = max(2, min(_MEMORY, round(rate_hz * self._knobs.value(_WINDOW))))
        begin_s = -(samples // 2) / rate_hz
        return Frame(rate_hz=rate_hz, samples=samples, begin_s=begin_s, spans_v=self._spans_v())

    def _run(self) -> None:
        self._acquisition.stop()
        self._free = True

    def _single(self) -> None:
        self._free = False
        mode = self._knobs.text(_TRIGGERING, 1)
        self._done = 0
        self._wait_for(self._knobs.text(_SOURCE, 1), auto=mode == "AUTO")
        self._done = 1
        if mode == "FRE":
            self._acquisition.force()

    def _halt(self) -> None:
        if self._free:
            self._acquisition.keep(self._next_frame())
            self._done = 1
        elif self._acquisition.is_running():
            self._done = 0
        self._free = False
        self._acquisition.stop()

    def _condition(self) -> int:
        if self._free:
            return _MEASURING
        return _WAITING if self._acquisition.is_running() else 0

    def _acquired(self) -> int:
        return 0 if self._free or self._acquisition.is_running() else self._done

    def _all_errors(self) -> str:
        found = [self._errors.next()]
        while len(self._errors):
            found.append(self._errors.next())
        return ",".join(found)

    def _frame(self, channel: int) -> Frame:
        """Of the record in memory; an error where there is none of this input."""
        frame = None if self._free else self._acquisition.frame
        if frame is None or channel not in frame.spans_v:
            raise _NOTHING
        return frame

    def _header(self, channel: int) -> str:
        frame = self._frame(channel)
        end_s = frame.begin_s + frame.duration_s
        return f"{_number(frame.begin_s)},{_number(end_s)},{frame.samples},1"

    def _data(self, channel: int) -> str | bytes:
        codes = self._codes(channel)
        order = "<" if self._knobs.text(_ORDER) == "LSBF" else ">"
        if self._format == "INT,8":
            return block(codes.tobytes())
        if self._format == "INT,16":
            return block((codes.astype(np.int16) << 8).astype(f"{order}i2").tobytes())
        volts = codes.astype(np.float64) * self._step_v(channel) + self._middle_v(channel)
        if self._format == "REAL,32":
            return block(volts.astype("<f4").tobytes())
        return ",".join(_number(one) for one in volts.tolist())

    def _codes(self, channel: int) -> NDArray[np.int8]:
        self._frame(channel)
        volts = self._acquisition.volts(channel)
        assert volts is not None  # _frame looked
        codes = np.rint((volts - self._middle_v(channel)) / self._step_v(channel))
        clipped: NDArray[np.int8] = np.clip(codes, -128, 127).astype(np.int8)
        return clipped


def _window(call: Call) -> float:
    value = call.number()
    if not 2.5e-11 <= value <= 1e4:
        raise Complaint(-222, "Data out of range")
    return value


def _number(value: float) -> str:
    """As these scopes write it, such as `-5E-09`."""
    return f"{value:.10G}"


def _whole(value: float) -> str:
    return str(int(value))


MAKERS = scope_makers(
    RohdeSchwarzRtoTwin, {f"Rohde & Schwarz {model}": model for model in _FAMILIES}
)
