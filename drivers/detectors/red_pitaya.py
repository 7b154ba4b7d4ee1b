"""The inputs of a Red Pitaya STEMlab 125-14: a digitiser of 14 bit and 125 MSa/s.

The board records both inputs at once into one buffer of 16384 samples each, so that a board can
have one role of this kind. The bench's trigger line goes to its external trigger (`EXT_PE`).

The volts are nominal: codes over the full scale of the jumper (`LV` 1 V, `HV` 20 V), without the
board's own calibration, because all versions give that form of the data exactly. The jumper of the
board must be the model's: a wrong one is a factor of 20, or damage.

Source: see `drivers.dialects.red_pitaya`.
"""

import math
from functools import partial

import numpy as np

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.red_pitaya import RedPitaya, probe_red_pitaya
from drivers.errors import LimitError
from drivers.instruments import (
    Clock,
    Digitiser,
    DigitiserLimits,
    DigitiserSettings,
    Identity,
    Instrument,
    Range,
    Recording,
    Trigger,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "RedPitayaDigitiser"]

_RATE_HZ = 125e6
_HALF = 8192
"""Samples behind the trigger that are recorded without a delay; also codes on either side of 0."""
_MARGIN = 16
_LONGEST = 16000
_FULL_V = {"LV": 1.0, "HV": 20.0}
_LARGEST = 65536


class RedPitayaDigitiser(Wired, Digitiser):
    """One input of a board.

    Args:
        name: role in the bench.
        limits: what may be set; one channel.
        link: to the board.
        clock: for polling.
        channel: input, 1 or 2.
        gain: of the jumper at the input: `LV` or `HV`.
        simulated: whether an emulator answers.
    """

    poll_interval_s = 2e-3
    safe_deadline_s = 0.5

    def __init__(
        self,
        name: str,
        *,
        limits: DigitiserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        gain: str = "LV",
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._board = RedPitaya(link)
        self._source = f"ACQ:SOUR{channel}"
        self._gain = gain
        self._samples = _HALF
        self._waits = False

    def _greet(self) -> Identity:
        identity = self._board.greet(self.name)
        # Of the connection, not of the board: forgotten when the link is opened anew.
        self._board.set("ACQ:DATA:FORMAT BIN")
        return identity

    def _configure(self, sample_rate_hz: float, samples: int, range_v: float) -> None:
        factor = self._decimation(sample_rate_hz)
        full_v = _FULL_V[self._gain]
        if range_v > full_v * (1 + 1e-9):
            raise LimitError(
                f"{self.name}: range {range_v} V is beyond the {full_v} V of the jumper "
                f"{self._gain}; put an attenuator before it or change jumper and model"
            )
        self._samples = samples
        self._board.set(
            "ACQ:RST",
            f"ACQ:DEC:Factor {factor}",
            "ACQ:AVG ON",
            "ACQ:DATA:Units RAW",
            "ACQ:DATA:FORMAT BIN",
            f"{self._source}:GAIN {self._gain}",
            f"ACQ:TRig:DLY {self._delay()}",
        )

    def _decimation(self, sample_rate_hz: float) -> int:
        factor = round(_RATE_HZ / sample_rate_hz)
        exact = (
            abs(_RATE_HZ / factor - sample_rate_hz) <= self.sample_rate_tolerance * sample_rate_hz
        )
        if exact and (factor in (1, 2, 4, 8) or 16 <= factor <= _LARGEST):
            return factor
        raise LimitError(
            f"{self.name}: sample rate {sample_rate_hz} Hz is not 125 MHz over 1, 2, 4, 8 or a "
            f"whole number from 16 to {_LARGEST}; choose such a rate, the nearest is "
            f"{_RATE_HZ / _possible(factor):.9g} Hz"
        )

    def _delay(self) -> int:
        """Samples that are recorded behind the middle of the buffer, where the trigger is."""
        return max(0, self._samples + _MARGIN - _HALF)

    def _get_settings(self) -> DigitiserSettings:
        """The board knows no length of a record; it is the one asked for if the delay allows it."""
        factor = self._board.number("ACQ:DEC:Factor?")
        gain = self._board.ask(f"{self._source}:GAIN?").strip().upper()
        room = int(self._board.number("ACQ:TRig:DLY?")) + _HALF
        if gain not in _FULL_V:
            raise garbled("LV or HV", gain.encode())
        if not factor >= 1:
            raise garbled("a decimation", str(factor).encode())
        return DigitiserSettings(
            sample_rate_hz=_RATE_HZ / factor,
            samples=min(self._samples, room),
            range_v=_FULL_V[gain],
        )

    def _arm(self, trigger: Trigger) -> None:
        source = "NOW" if trigger is Trigger.IMMEDIATE else "EXT_PE"
        self._board.set("ACQ:START", f"ACQ:TRig {source}")
        self._waits = True

    def _is_armed(self) -> bool:
        if self._board.ask("ACQ:TRig:STAT?").strip().upper() != "TD":
            return True
        # Without a trigger source the board counts as triggered, whether it records or not.
        return self._waits and not self._is_full()

    def _is_done(self) -> bool:
        triggered = self._board.ask("ACQ:TRig:STAT?").strip().upper() == "TD"
        return self._waits and triggered and self._is_full()

    def _is_full(self) -> bool:
        return self._board.number("ACQ:TRig:FILL?") == 1

    def _fetch(self) -> Recording:
        place = int(self._board.number("ACQ:TPOS?"))
        question = f"{self._source}:DATA:STArt:N? {place},{self._samples}"
        codes = self._board.codes(question, self._samples)
        self._waits = False
        step_v = _FULL_V[self._gain] / _HALF
        volts = codes.astype(np.float32)
        clipped = int(np.count_nonzero(np.abs(volts) >= _HALF - 1))
        volts *= np.float32(step_v)
        return Recording(volts=volts.reshape(1, -1), step_v=step_v, clipped=clipped)

    def _abort(self) -> None:
        self._board.set("ACQ:STOP", "ACQ:TRig DISABLED")
        self._waits = False


def _possible(factor: int) -> int:
    if 8 < factor < 16:
        return 8 if factor < 12 else 16
    if factor < 8:
        return 1 << round(math.log2(max(1, factor)))
    return min(factor, _LARGEST)


def _digitiser(gain: str, entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, DigitiserLimits)
    own_settings(NoSettings(), entry)
    return RedPitayaDigitiser(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        gain=gain,
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Red Pitaya STEMlab 125-14 inputs {gain}",
        backend="visa",
        kind=Digitiser,
        limits=DigitiserLimits(
            channels=1,
            sample_rate_hz=Range(lowest=_RATE_HZ / _LARGEST, highest=_RATE_HZ),
            samples=_LONGEST,
            range_v=Range(lowest=0.01 * full_v, highest=full_v),
            bits=14,
        ),
        make=partial(_digitiser, gain),
        confidence="high",
        identity="REDPITAYA,INSTR",
        channels=2,
        source="RedPitaya/RedPitaya, scpi-server and rp-api",
        probe=probe_red_pitaya,
    )
    for gain, full_v in _FULL_V.items()
)
