"""Keysight Infiniium oscilloscopes of the S and V series.

Sources: Infiniium programmer's guides (WAVeform and root commands); QCoDeS' driver. The codes are
signed words, the converter's bits moved to the left, so that the whole range is 65536 words. The
words from 31232 on are marks for samples that are missing or clipped: keep signals within 95 % of
the range.
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
from drivers.errors import AnswerError, InstrumentError, TraceError
from drivers.instruments import Clock, Digitiser, DigitiserLimits, Identity, Range
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.scpi import Scpi, parse_number
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "KeysightInfiniium"]

_INPUTS = 4
_WORD = 2
"""Number of the format WORD in this family's preamble."""
_HALF_SPAN = 1 << 15
_MARKS = 31232
_SHOWN = 61440 / 65536
"""First guess of how much of the span is on the display; the preamble decides."""
_MARGIN = 100
_LEAST_RECORD = 1000
_ARMING_S = 2.0
_BYTES_PER_S = 1e6
_STATES = ("RUN", "SING", "STOP")


class KeysightInfiniium(Scope):
    """One input of an Infiniium.

    Args:
        name: role in the bench.
        limits: what may be set; `bits` is the converter's.
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
        self._scpi = Scpi(link, error_query=":SYST:ERR? STRING")
        self._step = 1 << (16 - limits.bits)

    def _greet(self) -> Identity:
        self._link.send(b":SYST:HEAD OFF\n")
        self._scpi.clear()
        identity = self._scpi.identity()
        pattern = r"(Keysight|Agilent) Technologies,[DM]S[OA][SV]\d{3}A"
        refuse_stranger(self.name, identity, pattern, "a Keysight Infiniium of the S or V series")
        return identity

    def _set_up(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        signal, trigger = f":CHAN{self._channel}", f"CHAN{self._panel.trigger_channel}"
        points = max(_LEAST_RECORD, samples + 2 * _MARGIN)
        window_s = points / sample_rate_hz
        self._scpi.set(
            ":STOP",
            ":ACQ:MODE RTIM",
            f"{signal}:DISP ON",
            f"{signal}:RANG {2 * range_v * _SHOWN:.9G}",
            f"{signal}:OFFS 0",
            ":TIM:REF CENT",
            f":TIM:RANG {window_s:.9G}",
            f":TIM:POS {window_s / 2 - _MARGIN / sample_rate_hz:.9G}",
            f":ACQ:SRAT {sample_rate_hz:.12G}",
            f":ACQ:POIN {points}",
            ":TRIG:MODE EDGE",
            f":TRIG:EDGE:SOUR {trigger}",
            ":TRIG:EDGE:SLOP POS",
            f":TRIG:LEV {trigger},{self._panel.trigger_level_v:.4G}",
            *self._reading(),
        )

    def _reading(self) -> tuple[str, ...]:
        """What is read, and how; another role of the scope may have set it otherwise."""
        source = f":WAV:SOUR CHAN{self._channel}"
        return (source, ":WAV:FORM WORD", ":WAV:BYT LSBF", ":WAV:STR OFF")

    def _form(self) -> RecordForm:
        answer = self._scpi.raw(";".join((*self._reading(), ":WAV:PRE?")))
        fields = answer.split(b",")
        if len(fields) < 24:
            raise AnswerError(f"{self.name}: {garbled('a preamble of 24 fields', answer)}")
        values = finite(self.name, [parse_number(field) for field in fields[:10]])
        kind, _, points, _, x_step, x_origin, x_reference, y_step, y_origin, _ = values
        if kind != _WORD or not (x_step > 0 and y_step > 0 and points >= 0):
            raise AnswerError(
                f"{self.name}: expected the preamble of a record of words, got {values}; look at "
                "the scope's display"
            )
        return RecordForm(
            interval_s=x_step,
            samples=int(points),
            trigger=x_reference - x_origin / x_step,
            volts_per_code=y_step,
            volts_at_zero=y_origin,
            step_v=self._step * y_step,
            range_v=_HALF_SPAN * y_step,
        )

    def _start(self, *, forced: bool) -> None:
        for event in (":AER?", ":ADER?"):  # reading clears what is left of earlier records
            self._scpi.flag(event)
        self._scpi.set(f":TRIG:SWE {'AUTO' if forced else 'TRIG'}", ":SING")
        if not self._poll(lambda: self._scpi.flag(":AER?"), _ARMING_S):
            raise InstrumentError(
                f"{self.name}: is not armed {_ARMING_S:g} s after the order; look at its display"
            )

    def _is_running(self) -> bool:
        state = self._scpi.query(":RST?").strip().upper()
        if state not in _STATES:
            raise AnswerError(f"{self.name}: its run state is {state!r}, not one of {_STATES}")
        return state != "STOP"

    def _has_recorded(self, *, forced: bool) -> bool:
        del forced
        return self._scpi.flag(":ADER?")

    def _stop(self) -> None:
        self._scpi.set(":STOP")

    def _codes(self, form: RecordForm, first: int, count: int) -> Codes:
        timeout_s = self._link.timeout_s + 2 * form.samples / _BYTES_PER_S
        data = self._scpi.block(":WAV:DATA?", timeout_s)
        if data.size != 2 * form.samples:
            raise TraceError(
                f"{self.name}: {data.size} bytes came, the scope announced {form.samples} samples "
                "of 2 bytes; record again"
            )
        words = data.view("<i2").astype(np.int16, copy=False)
        return words[first : first + count]

    def _clipped(self, codes: Codes) -> int:
        limit = _MARKS - self._step
        # Most records have none, and the extremes are found much faster than a count.
        high = np.count_nonzero(codes >= limit) if codes.max() >= limit else 0
        low = np.count_nonzero(codes <= -limit) if codes.min() <= -limit else 0
        return int(low + high)


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Digitiser,
        limits=DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=1e4, highest=10e9),
            samples=10_000_000,
            range_v=Range(lowest=0.05, highest=4.0),
            bits=bits,
        ),
        make=scope_maker(KeysightInfiniium, ScopeSettings(), _INPUTS),
        confidence="medium",
        identity=rf"(Keysight|Agilent) Technologies,[DM]S[OA]{series}\d\d4A",
        channels=_INPUTS,
        source="Infiniium programmer's guides and QCoDeS",
        settings={
            "trigger_channel": "input that the bench's trigger line is plugged into (4)",
            "trigger_level_v": "level of its rising edge in V (0.5)",
        },
    )
    for name, series, bits in (("DSOS204A", "S", 10), ("DSOV084A", "V", 8))
)
