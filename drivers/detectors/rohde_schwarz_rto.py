"""Rohde & Schwarz RTO and RTP oscilloscopes.

Sources: R&S RTO6 and RTP user manuals (data conversion, remote control); QCoDeS' driver of the
RTO1000. Codes of 8 bits are read: ten divisions are 253 of them. The record lies around the
trigger, which the scope puts in the middle unless somebody moves it.
"""

from dataclasses import dataclass, replace
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
from drivers.transports.reader import garbled
from drivers.transports.scpi import Scpi, parse_number
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "RohdeSchwarzRto", "RtoSettings"]

_INPUTS = 4
_CODES = 256
_SHOWN_CODES = 253
"""Codes on the ten divisions of the display."""
_DIVISIONS = 10
_MARGIN = 100
_LEAST_RECORD = 1000
_WAITING, _MEASURING = 8, 16
_ARMING_S = 2.0
_BYTES_PER_S = 1e6
_COUPLINGS = {"50 ohm": "DC", "1 Mohm": "DCL"}


@dataclass(frozen=True, kw_only=True)
class RtoSettings(ScopeSettings):
    """Trigger input, and the detector's termination.

    Args:
        impedance: of the detector's input; empty leaves coupling and termination as they are set.
    """

    impedance: Literal["", "50 ohm", "1 Mohm"] = ""


class RohdeSchwarzRto(Scope):
    """One input of an RTO or RTP.

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
        settings: RtoSettings | None = None,
        simulated: bool = False,
    ) -> None:
        chosen = RtoSettings() if settings is None else settings
        super().__init__(
            name,
            limits=limits,
            link=link,
            clock=clock,
            channel=channel,
            settings=chosen,
            simulated=simulated,
        )
        self._scpi = Scpi(link, error_query=":SYST:ERR:NEXT?")
        self._impedance = chosen.impedance

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        refuse_stranger(self.name, identity, r"Rohde&Schwarz,RT[OP]", "an R&S RTO or RTP")
        # The third field is the part number and the serial number.
        return replace(identity, serial=identity.serial.rpartition("/")[2])

    def _set_up(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        signal, trigger = f":CHAN{self._channel}", self._panel.trigger_channel
        coupling = [f"{signal}:COUP {_COUPLINGS[self._impedance]}"] if self._impedance else []
        length = max(_LEAST_RECORD, 2 * (samples + _MARGIN))
        self._scpi.set(
            ":STOP",
            f"{signal}:STAT ON",
            *coupling,
            f"{signal}:RANG {2 * range_v * _SHOWN_CODES / _CODES:.9G}",
            f"{signal}:POS 0",
            f"{signal}:OFFS 0",
            f":TIM:RANG {length / sample_rate_hz:.9G}",
            f":ACQ:SRAT {sample_rate_hz:.12G}",
            ":ACQ:COUN 1",
            f":TRIG1:SOUR CHAN{trigger}",
            f":TRIG1:LEV{trigger} {self._panel.trigger_level_v:.4G}",
            *self._reading(),
        )
        self._scpi.query("*OPC?")  # the manual wants it between a change of format and reading

    @staticmethod
    def _reading() -> tuple[str, ...]:
        return (":FORM:DATA INT,8", ":EXP:WAV:INCX OFF", ":EXP:WAV:MULT OFF")

    def _form(self) -> RecordForm:
        signal = f":CHAN{self._channel}"
        asked = ("DATA:HEAD?", "SCAL?", "OFFS?", "POS?")
        answer = self._scpi.raw(";".join([*(f"{signal}:{one}" for one in asked), ":ACQ:SRAT?"]))
        fields = answer.split(b";")
        header = fields[0].split(b",")
        if len(fields) != 5 or len(header) != 4:
            raise AnswerError(f"{self.name}: {garbled('a header and four numbers', answer)}")
        numbers = finite(self.name, [parse_number(one) for one in (*header, *fields[1:])])
        begin_s, end_s, samples, values, scale_v, offset_v, position, rate_hz = numbers
        step_v = scale_v * _DIVISIONS / _SHOWN_CODES
        if values != 1 or not (step_v > 0 and samples >= 2 and end_s > begin_s and rate_hz > 0):
            raise AnswerError(
                f"{self.name}: a record of {samples:g} samples from {begin_s} to {end_s} s with "
                f"{values:g} values each is not what the driver reads; choose the decimation mode "
                "sample on the scope"
            )
        interval_s = (end_s - begin_s) / samples
        # Texts differ in whether the end is the last sample or one beyond it; the rate that is set
        # is exact, and is the record's if it is one of the two.
        if abs(interval_s * rate_hz - 1) < 1.5 / samples:
            interval_s = 1 / rate_hz
        return RecordForm(
            interval_s=interval_s,
            samples=int(samples),
            trigger=-begin_s / interval_s,
            volts_per_code=step_v,
            volts_at_zero=offset_v - scale_v * position,
            step_v=step_v,
            range_v=step_v * _CODES / 2,
        )

    def _start(self, *, forced: bool) -> None:
        self._scpi.set(f":TRIG:MODE {'FRE' if forced else 'NORM'}", ":SING")
        begun = (lambda: self._condition() > 0 or self._count() > 0) if forced else self._waits
        if not self._poll(begun, _ARMING_S):
            raise InstrumentError(
                f"{self.name}: does not wait for its trigger {_ARMING_S:g} s after it was started; "
                "look at its display"
            )

    def _condition(self) -> int:
        return self._scpi.integer(":STAT:OPER:COND?") & (_WAITING | _MEASURING)

    def _count(self) -> int:
        return self._scpi.integer(":ACQ:CURR?")

    def _waits(self) -> bool:
        return bool(self._condition() & _WAITING)

    def _is_running(self) -> bool:
        return self._condition() > 0

    def _has_recorded(self, *, forced: bool) -> bool:
        del forced
        return self._count() >= 1

    def _stop(self) -> None:
        self._scpi.set(":STOP")

    def _codes(self, form: RecordForm, first: int, count: int) -> Codes:
        self._scpi.set(*self._reading())
        self._scpi.query("*OPC?")
        timeout_s = self._link.timeout_s + form.samples / _BYTES_PER_S
        data = self._scpi.block(f":CHAN{self._channel}:DATA?", timeout_s)
        if data.size != form.samples:
            raise TraceError(
                f"{self.name}: {data.size} samples came, the scope announced {form.samples}; "
                "record again"
            )
        return data.view(np.int8)[first : first + count]

    def _clipped(self, codes: Codes) -> int:
        lowest, highest = -_CODES // 2, _CODES // 2 - 1
        return int(np.count_nonzero(codes == lowest) + np.count_nonzero(codes == highest))


MODELS = tuple(
    DriverModel(
        model=f"Rohde & Schwarz {name}",
        backend="visa",
        kind=Digitiser,
        limits=DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=1e4, highest=5e9),
            samples=5_000_000,
            range_v=Range(lowest=0.05, highest=4.0),
            bits=8,
        ),
        make=scope_maker(RohdeSchwarzRto, RtoSettings(), _INPUTS),
        confidence="medium",
        identity=rf"Rohde&Schwarz,{name}",
        channels=_INPUTS,
        source="R&S RTO6 and RTP user manuals, and QCoDeS",
        settings={
            "trigger_channel": "input that the bench's trigger line is plugged into (4)",
            "trigger_level_v": "level of its rising edge in V (0.5)",
            "impedance": 'termination of the detector: "50 ohm", "1 Mohm", or as it is ("")',
        },
    )
    for name in ("RTO", "RTP")
)
