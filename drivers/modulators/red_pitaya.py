"""The outputs of a Red Pitaya STEMlab 125-14: a generator of 14 bit and 125 MSa/s.

How a play is made from what the board can do:

* The play is a burst of one run through the table of 16384 samples, which is always filled: the
  idle level, the delay in samples at the idle level, the waveform, the idle level. The first sample
  delays every play by one sample; like the length of a cable it is in every calibrated delay.
* Every play begins with the external trigger `EXT_PE`, a software trigger too: the board raises a
  pin (`DIO1_P`) that is wired to the external trigger of all boards on the bench's line, its own
  among them.
* At rest the output is a direct voltage at the idle level. Armed is an output with the waveform
  selected, so that it can be read back. Where the idle level is not 0 V, arming passes 0 V.

The converter always runs at 125 MHz: rates that are not 125 MHz over a power of two place samples
with a jitter of one of its cycles. HAZARD: the volts hold into 50 ohm; into a high impedance the
output gives twice the voltage.

Needs version 2.05-37 or later of the board's system, which has `BURS:INITValue`.

Source: see `drivers.dialects.red_pitaya`.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.red_pitaya import RedPitaya, probe_red_pitaya
from drivers.dialects.timed_generator import TimedGenerator
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import (
    Clock,
    GeneratorLimits,
    Identity,
    Instrument,
    Range,
    Trigger,
    WaveformGenerator,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.settings import own_settings

__all__ = ["MODELS", "RedPitayaGenerator", "RedPitayaGeneratorSettings"]

_TABLE = 16384
_RATE_HZ = 125e6
_LEAST_FULL_V = 1e-3
_LEVEL_TOLERANCE_V = 2e-4
_PIN = re.compile(r"DIO[1-7]_[PN]|DIO0_N")


@dataclass(frozen=True, kw_only=True)
class RedPitayaGeneratorSettings:
    """How the bench's trigger line is connected.

    Args:
        trigger_pin: digital pin that drives the line; not `DIO0_P`, which is its input.
    """

    trigger_pin: str = "DIO1_P"

    def __post_init__(self) -> None:
        if _PIN.fullmatch(self.trigger_pin) is None:
            raise ConfigurationError(
                f"trigger_pin is {self.trigger_pin!r}; it must be DIO1_P to DIO7_P or DIO0_N to "
                "DIO7_N"
            )


class RedPitayaGenerator(TimedGenerator):
    """One output of a board; see the module for how it plays.

    A software-triggered play counts as over after its duration on the driver's clock. Armed for the
    line it stays armed until `finish` or `stop`: the board cannot be asked whether it has played.

    Args:
        name: role in the bench.
        limits: what may be set; one channel.
        link: to the board.
        clock: for the duration of a play.
        channel: output, 1 or 2.
        settings: the trigger line.
        simulated: whether an emulator answers.
    """

    # The board answers frequencies with six digits.
    sample_rate_tolerance = 1e-5

    def __init__(
        self,
        name: str,
        *,
        limits: GeneratorLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: RedPitayaGeneratorSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, link=link, clock=clock, simulated=simulated)
        self._board = RedPitaya(link)
        self._source = f"SOUR{channel}"
        self._output = f"OUTPUT{channel}:STATE"
        chosen = RedPitayaGeneratorSettings() if settings is None else settings
        self._pin = chosen.trigger_pin
        volts = limits.volts
        self._full_v = max(abs(volts.lowest), abs(volts.highest), _LEAST_FULL_V)
        self._volts: NDArray[np.float32] | None = None
        self._held_table: tuple[float, int] | None = None

    def _greet(self) -> Identity:
        return self._board.greet(self.name)

    def _forget_play(self) -> None:
        self._volts = self._held_table = None

    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        self._board.set(f"{self._source}:FREQ:FIX {sample_rate_hz / _TABLE:.12g}")

    def _get_sample_rate(self) -> float:
        return self._board.number(f"{self._source}:FREQ:FIX?") * _TABLE

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        del channel  # there is one
        self._volts = self._held_table = None
        self._rest()
        self._upload(volts, 0)
        self._volts = volts

    def _upload(self, volts: NDArray[np.float32], lead: int) -> None:
        """Fill the table, the waveform `lead` samples behind where it begins without a delay."""
        table = np.full(_TABLE, self._idle_v / self._full_v)
        table[1 + lead : 1 + lead + len(volts)] = volts / self._full_v
        np.clip(table, -1, 1, out=table)  # single precision may be beyond full scale by a rounding
        text = ",".join([f"{value:.6f}" for value in table.tolist()])
        self._board.set(f"{self._source}:TRAC:DATA:DATA {text}")
        self._held_table = (self._idle_v, lead)

    def _set_output(self, channel: int, on: bool) -> None:
        del channel  # there is one
        self._board.set(f"{self._output} {'ON' if on else 'OFF'}")
        if on and not self._holds_play():
            self._board.set(f"{self._source}:TRig:INT")

    def _get_output(self, channel: int) -> bool:
        del channel  # there is one
        answer = self._board.ask(f"{self._output}?").strip().upper()
        if answer not in ("ON", "OFF", "1", "0"):
            raise garbled("ON or OFF", answer.encode())
        return answer in ("ON", "1")

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        if self._volts is None:
            raise InstrumentError(f"{self.name}: its waveform got lost; load() it again")
        rate_hz = self._get_sample_rate()
        lead = round(delay_s * rate_hz)
        if 2 + lead + len(self._volts) > _TABLE:
            raise LimitError(
                f"{self.name}: delay {delay_s} s and {len(self._volts)} samples at {rate_hz:.6g} "
                f"Hz do not fit into the {_TABLE} samples of the board; choose less of one of them"
            )
        if self._held_table != (self._idle_v, lead):
            self._upload(self._volts, lead)
        self._forget_end()
        software = trigger is Trigger.SOFTWARE
        if software:
            self._board.set(f"DIG:PIN:DIR OUT,{self._pin}", f"DIG:PIN {self._pin},0")
        self._board.set(*self._arming())
        self._confirm_arming()
        self._duration_s = _TABLE / rate_hz

    def _arming(self) -> list[str]:
        """By way of an amplitude and an offset of 0, so that nothing adds up on the way."""
        source, idle = self._source, f"{self._idle_v:.6g}"
        return [
            f"{source}:VOLT 0",
            f"{source}:VOLT:OFFS 0",
            f"{source}:BURS:STAT BURST",
            f"{source}:BURS:NCYC 1",
            f"{source}:BURS:NOR 1",
            f"{source}:BURS:INITValue {idle}",
            f"{source}:BURS:LASTValue {idle}",
            f"{source}:TRig:SOUR EXT_PE",
            f"{source}:FUNC ARBITRARY",
            f"{source}:VOLT {self._full_v:.6g}",
        ]

    def _confirm_arming(self) -> None:
        """Make sure of all that could harm or mislead."""
        volts = self._board.number(f"{self._source}:VOLT?")
        self._confirm("amplitude", "V", self._full_v, volts, 1e-3 * self._full_v)
        offset = self._board.number(f"{self._source}:VOLT:OFFS?")
        self._confirm("offset", "V", 0.0, offset, _LEVEL_TOLERANCE_V)
        mode = self._board.ask(f"{self._source}:BURS:STAT?").strip().upper()
        self._confirm_state("burst", "BURST", mode)

    def _trigger(self) -> None:
        self._board.set(f"DIG:PIN {self._pin},1", f"DIG:PIN {self._pin},0")
        self._begun()

    def _holds_play(self) -> bool:
        return self._board.ask(f"{self._source}:FUNC?").strip().upper() == "ARBITRARY"

    def _rest(self) -> None:
        """Give the idle level as a direct voltage."""
        source = self._source
        self._board.set(
            f"{source}:VOLT 0",
            f"{source}:VOLT:OFFS 0",
            f"{source}:FUNC DC",
            f"{source}:BURS:STAT CONTINUOUS",
            f"{source}:TRig:SOUR INT",
            f"{source}:VOLT:OFFS {self._idle_v:.6g}",
            f"{source}:TRig:INT",
        )
        self._forget_end()
        offset = self._board.number(f"{source}:VOLT:OFFS?")
        self._confirm("idle level", "V", self._idle_v, offset, _LEVEL_TOLERANCE_V)


def _generator(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, GeneratorLimits)
    return RedPitayaGenerator(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(RedPitayaGeneratorSettings(), entry),
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Red Pitaya STEMlab 125-14 outputs",
        backend="visa",
        kind=WaveformGenerator,
        limits=GeneratorLimits(
            channels=1,
            volts=Range(lowest=-1.0, highest=1.0),
            sample_rate_hz=Range(lowest=1e4, highest=_RATE_HZ),
            samples=_TABLE - 2,
            bits=14,
        ),
        make=_generator,
        confidence="high",
        identity="REDPITAYA,INSTR",
        channels=2,
        source="RedPitaya/RedPitaya, scpi-server and rp-api",
        probe=probe_red_pitaya,
        settings={"trigger_pin": "digital pin that drives the bench's trigger line (DIO1_P)"},
    ),
)
