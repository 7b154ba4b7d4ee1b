"""Tektronix 5 and 6 Series MSO oscilloscopes.

Sources: Tektronix 4/5/6 Series MSO Programmer Manual; tm_devices; LabExT's driver of an MSO64.

Codes of 12 bits come moved to the left in words of 16 bits. The record lies around the trigger,
which the scope puts in the middle unless somebody moves it: twice the samples are recorded, and
only those from the trigger on are sent.
"""

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
from drivers.dialects.tektronix import TekDialogue
from drivers.errors import AnswerError, InstrumentError, TraceError
from drivers.instruments import Clock, Digitiser, DigitiserLimits, Identity, Range
from drivers.transports.link import Link
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "TektronixMso56"]

_INPUTS = 4
_DIVISIONS = 10.24
"""Divisions that the codes span: 25 codes of 8 bits, so 6400 of 16 bits, each."""
_HALF_SPAN = 1 << 15
_STEP = 1 << 4
"""Words per code of 12 bits."""
_MARGIN = 100
_LEAST_RECORD = 1000
_ARMING_S = 2.0
_BYTES_PER_S = 1e6
_STATES = ("ARMED", "AUTO", "READY", "SAVE", "TRIGGER")
_FORM = ("XINcr", "XZEro", "PT_Off", "YMUlt", "YOFf", "YZEro", "NR_Pt")


class TektronixMso56(Scope):
    """One input of a 5 or 6 Series MSO.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the scope.
        clock: for polling.
        channel: input that carries the detector.
        settings: where the trigger comes in.
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
        settings: ScopeSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(
            name,
            limits=limits,
            link=link,
            clock=clock,
            channel=channel,
            settings=settings,
            simulated=simulated,
        )
        self._tek = TekDialogue(link)
        self._length = _LEAST_RECORD

    def _greet(self) -> Identity:
        identity = self._tek.greet()
        refuse_stranger(
            self.name, identity, r"TEKTRONIX,MSO[56]\d", "a Tektronix 5 or 6 Series MSO"
        )
        return identity

    def _set_up(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        signal, trigger = self._channel, self._panel.trigger_channel
        self._length = max(_LEAST_RECORD, 2 * (samples + _MARGIN))
        self._tek.set(
            ":ACQuire:STATE OFF",
            ":ACQuire:MODe SAMple",
            ":ACQuire:STOPAfter SEQuence",
            f":DISplay:GLObal:CH{signal}:STATE ON",
            f":CH{signal}:COUPling DC",
            f":CH{signal}:BANdwidth FULl",
            f":CH{signal}:POSition 0",
            f":CH{signal}:OFFSet 0",
            f":CH{signal}:SCAle {2 * range_v / _DIVISIONS:.9G}",
            ":HORizontal:MODe MANual",
            f":HORizontal:MODe:SAMPLERate {sample_rate_hz:.12G}",
            f":HORizontal:MODe:RECOrdlength {self._length}",
            ":TRIGger:A:TYPe EDGE",
            f":TRIGger:A:EDGE:SOUrce CH{trigger}",
            ":TRIGger:A:EDGE:SLOpe RISe",
            f":TRIGger:A:LEVel:CH{trigger} {self._panel.trigger_level_v:.4G}",
            ":TRIGger:A:MODe NORMal",
        )

    def _form(self) -> RecordForm:
        described = self._tek.numbers(
            f":DATa:SOUrce CH{self._channel}",
            ":DATa:ENCdg SRIbinary",
            ":DATa:WIDth 2",
            ":DATa:STARt 1",
            f":DATa:STOP {self._length}",
            *(f":WFMOutpre:{one}?" for one in _FORM),
        )
        x_step, x_zero, offset, y_step, y_offset, y_zero, points = finite(self.name, described)
        if not (x_step > 0 and y_step > 0 and points >= 0):
            raise AnswerError(
                f"{self.name}: a record of {points} samples every {x_step} s with {y_step} V per "
                "code makes no sense; look at the scope's display"
            )
        return RecordForm(
            interval_s=x_step,
            samples=int(points),
            trigger=offset - x_zero / x_step,
            volts_per_code=y_step,
            volts_at_zero=y_zero - y_offset * y_step,
            step_v=_STEP * y_step,
            range_v=_HALF_SPAN * y_step,
        )

    def _start(self, *, forced: bool) -> None:
        self._tek.set(":ACQuire:STATE ON")
        if not self._poll(lambda: self._state() not in ("ARMED", "AUTO"), _ARMING_S):
            raise InstrumentError(
                f"{self.name}: is not ready {_ARMING_S:g} s after it was started; look at its "
                "display"
            )
        if forced:
            self._tek.set(":TRIGger FORCe")

    def _state(self) -> str:
        (state,) = self._tek.query(":TRIGger:STATE?")
        found = next((one for one in _STATES if one == state.upper()), None)
        if found is None:
            raise AnswerError(f"{self.name}: its trigger is {state!r}, not one of {_STATES}")
        return found

    def _is_running(self) -> bool:
        return self._state() != "SAVE"

    def _has_recorded(self, *, forced: bool) -> bool:
        del forced
        return self._tek.numbers(":ACQuire:NUMACq?")[0] >= 1

    def _stop(self) -> None:
        self._tek.set(":ACQuire:STATE OFF")

    def _codes(self, form: RecordForm, first: int, count: int) -> Codes:
        del form
        self._tek.set(f":DATa:STARt {first + 1}", f":DATa:STOP {first + count}")
        data = self._tek.block("CURVe?", self._link.timeout_s + 2 * count / _BYTES_PER_S)
        if data.size != 2 * count:
            raise TraceError(
                f"{self.name}: {data.size} bytes came, {count} samples of 2 bytes were asked for; "
                "record again"
            )
        return data.view("<i2").astype(np.int16, copy=False)

    def _clipped(self, codes: Codes) -> int:
        lowest, highest = -_HALF_SPAN + _STEP - 1, _HALF_SPAN - _STEP
        # Most records have none, and the extremes are found much faster than a count.
        low = np.count_nonzero(codes <= lowest) if codes.min() <= lowest else 0
        high = np.count_nonzero(codes >= highest) if codes.max() >= highest else 0
        return int(low + high)


MODELS = tuple(
    DriverModel(
        model=f"Tektronix MSO{series}4",
        backend="visa",
        kind=Digitiser,
        limits=DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=1e4, highest=3.125e9),
            samples=10_000_000,
            range_v=Range(lowest=0.02, highest=5.0),
            bits=12,
        ),
        make=scope_maker(TektronixMso56, ScopeSettings(), _INPUTS),
        confidence="medium-high",
        identity=rf"TEKTRONIX,MSO{series}[468]",
        channels=_INPUTS,
        source="Tektronix 4/5/6 Series MSO Programmer Manual and tm_devices",
        settings={
            "trigger_channel": "input that the bench's trigger line is plugged into (4)",
            "trigger_level_v": "level of its rising edge in V (0.5)",
        },
    )
    for series in (5, 6)
)
