"""Keysight InfiniiVision oscilloscopes: 3000T, 4000A and 6000A X-Series.

Sources: Keysight InfiniiVision X-Series Programmer's Guides (WAVeform, TIMebase, ACQuire and root
commands); python-ivi and pymeasure for the scaling of codes.

The record that is sent covers the time range with the number of points that was asked for, so the
sample rate is points / time range. The eight divisions on the display are 199 of the 256 codes: the
range of the bench is that of the converter, all 256 codes, by the preamble's own factor. The guides
say that what leaves the display may be marked as clipped: keep signals within three quarters of it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.catalogue import DriverModel
from drivers.dialects.scope import (
    Codes,
    RecordForm,
    Scope,
    ScopeSettings,
    finite,
)
from drivers.dialects.scope_maker import scope_maker
from drivers.errors import AnswerError, InstrumentError, TraceError
from drivers.instruments import Clock, Digitiser, DigitiserLimits, Identity, Range
from drivers.transports.link import Link
from drivers.transports.scpi import Scpi
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "InfiniiVisionSettings", "KeysightInfiniiVision"]

_INPUTS = 4
_FAMILY = r"[DM]SO-?X ?[346]\d\d\d[AGT]"
_COUNTS = tuple(m * 10**e for e in range(3, 7) for m in (1, 2, 5) if m * 10**e <= 2_000_000)
"""Points that the guide allows and every memory holds, from the least that suits all time bases."""
_MARGIN = 10
"""Samples before the trigger where there is room, so that a rounded position does no harm."""
_CODES = 256
_SHOWN_CODES = 199
"""Codes on the eight divisions of the display."""
_RUNNING = 8
_ARMING_S = 2.0
_BYTES_PER_S = 1e6
_IMPEDANCES = {"50 ohm": "FIFT", "1 Mohm": "ONEM"}
_HOLE, _LOWEST, _HIGHEST = 0, 1, 255
"""Special codes: nothing recorded here, and the ends of the converter."""


@dataclass(frozen=True, kw_only=True)
class InfiniiVisionSettings(ScopeSettings):
    """Trigger input, and the detector's termination.

    Args:
        impedance: of the detector's input; empty leaves it as it is set on the scope.
    """

    impedance: Literal["", "50 ohm", "1 Mohm"] = ""


class KeysightInfiniiVision(Scope):
    """One input of an InfiniiVision oscilloscope.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the scope.
        clock: for polling.
        channel: input that carries the detector.
        settings: trigger input and termination.
        simulated: whether an emulator answers.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: InfiniiVisionSettings | None = None,
        simulated: bool = False,
    ) -> None:
        chosen = InfiniiVisionSettings() if settings is None else settings
        super().__init__(
            name,
            limits=limits,
            link=link,
            clock=clock,
            channel=channel,
            settings=chosen,
            simulated=simulated,
        )
        self._scpi = Scpi(link)
        self._impedance = chosen.impedance
        self._points = _COUNTS[0]

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        refuse_stranger(
            self.name,
            identity,
            rf"(Keysight|Agilent) Technologies,{_FAMILY}",
            "a Keysight InfiniiVision 3000T, 4000A or 6000A",
        )
        return identity

    def _set_up(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        points = next(count for count in _COUNTS if count >= samples)
        window_s = points / sample_rate_hz
        before_s = min((points - samples) // 2, _MARGIN) / sample_rate_hz
        shown_v = 2 * range_v * _SHOWN_CODES / _CODES
        signal, trigger = f":CHAN{self._channel}", f":CHAN{self._panel.trigger_channel}"
        level_v = self._panel.trigger_level_v
        termination = [f"{signal}:IMP {_IMPEDANCES[self._impedance]}"] if self._impedance else []
        self._points = points
        self._scpi.set(
            ":STOP",
            ":ACQ:TYPE NORM",
            *termination,
            *(f"{signal}:{one}" for one in ("DISP ON", "COUP DC", "PROB 1", "INV OFF", "BWL OFF")),
            f"{signal}:RANG {shown_v:.9G}",
            f"{signal}:OFFS 0",
            f"{trigger}:PROB 1",
            f"{trigger}:COUP DC",
            f"{trigger}:RANG {8 * abs(level_v):.4G}",
            f"{trigger}:OFFS {level_v:.4G}",
            ":TRIG:MODE EDGE",
            f":TRIG:EDGE:SOUR CHAN{self._panel.trigger_channel}",
            f":TRIG:EDGE:LEV {level_v:.4G}",
            ":TRIG:EDGE:SLOP POS",
            ":TRIG:SWE NORM",
            ":TIM:MODE MAIN",
            ":TIM:REF CENT",
            f":TIM:RANG {window_s:.9G}",
            f":TIM:POS {window_s / 2 - before_s:.9G}",
            *self._reading(),
        )

    def _reading(self) -> tuple[str, ...]:
        """What is read, and how; another role of the scope may have set it otherwise."""
        return (
            f":WAV:SOUR CHAN{self._channel}",
            ":WAV:FORM BYTE",
            ":WAV:UNS 1",
            ":WAV:POIN:MODE RAW",
            f":WAV:POIN {self._points}",
        )

    def _form(self) -> RecordForm:
        values = finite(self.name, self._scpi.numbers(";".join((*self._reading(), ":WAV:PRE?"))))
        if len(values) != 10 or values[0] != 0 or not (values[4] > 0 and values[7] > 0):
            raise AnswerError(
                f"{self.name}: expected the preamble of a record of bytes, ten numbers, got "
                f"{values}; look at the scope's display"
            )
        _, _, points, _, x_step, x_origin, x_reference, y_step, y_origin, y_reference = values
        return RecordForm(
            interval_s=x_step,
            samples=int(points),
            trigger=x_reference - x_origin / x_step,
            volts_per_code=y_step,
            volts_at_zero=y_origin - y_reference * y_step,
            step_v=y_step,
            range_v=y_step * _CODES / 2,
        )

    def _start(self, *, forced: bool) -> None:
        for event in (":AER?", ":TER?"):  # reading clears what is left of earlier records
            self._scpi.flag(event)
        self._scpi.set(":SING")
        if not self._poll(lambda: self._scpi.flag(":AER?"), _ARMING_S):
            raise InstrumentError(
                f"{self.name}: is not armed {_ARMING_S:g} s after the order; look at its display"
            )
        if forced:
            self._scpi.set(":TRIG:FORC")

    def _is_running(self) -> bool:
        return bool(self._scpi.integer(":OPER:COND?") & _RUNNING)

    def _has_recorded(self, *, forced: bool) -> bool:
        return forced or self._scpi.flag(":TER?")

    def _stop(self) -> None:
        self._scpi.set(":STOP")

    def _codes(self, form: RecordForm, first: int, count: int) -> Codes:
        timeout_s = self._link.timeout_s + form.samples / _BYTES_PER_S
        data = self._scpi.block(":WAV:DATA?", timeout_s)
        if data.size != form.samples:
            raise TraceError(
                f"{self.name}: {data.size} samples came, the scope announced {form.samples}; "
                "record again"
            )
        return data[first : first + count]

    def _clipped(self, codes: Codes) -> int:
        least = codes.min()
        if least == _HOLE:
            raise TraceError(
                f"{self.name}: the record has holes (code 0), it was not taken whole; record again"
            )
        # Most records have none, and the extremes are found much faster than a count.
        lowest = np.count_nonzero(codes == _LOWEST) if least == _LOWEST else 0
        highest = np.count_nonzero(codes == _HIGHEST) if codes.max() == _HIGHEST else 0
        return int(lowest + highest)


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Digitiser,
        limits=DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=1e4, highest=highest_hz),
            samples=_COUNTS[-1],
            range_v=Range(lowest=0.02, highest=4.0),
            bits=8,
        ),
        make=scope_maker(KeysightInfiniiVision, InfiniiVisionSettings(), _INPUTS),
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{identity}",
        channels=_INPUTS,
        source="Keysight InfiniiVision X-Series Programmer's Guides",
        settings={
            "trigger_channel": "input that the bench's trigger line is plugged into (4)",
            "trigger_level_v": "level of its rising edge in V (0.5)",
            "impedance": 'termination of the detector: "50 ohm", "1 Mohm", or as it is ("")',
        },
    )
    for name, identity, highest_hz in (
        ("MSOX3024T", r"[DM]SO-?X ?3\d\d4T", 2.5e9),
        ("DSOX4024A", r"[DM]SO-?X ?4\d\d4A", 2.5e9),
        ("DSOX6004A", r"[DM]SO-?X ?6\d\d4A", 10e9),
    )
)
