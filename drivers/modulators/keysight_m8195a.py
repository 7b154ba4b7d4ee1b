"""Keysight M8195A arbitrary waveform generator: 8 bit at 13.4 to 16.3 GSa/s. Experimental.

How a play is made from what is known of it:

* The box is used in its mode of four channels with a rate divider of 4, so that the converters'
  clock is four times the sample rate. One output is the role's, another (`trigger_channel`) gives
  the pulse of the bench's trigger line: how markers are loaded is not known for sure.
* Segment 1 is the idle level, played on and on at rest. Segment 2 is the play: the idle level, the
  delay as samples at the idle level, the waveform, the idle level. Its first sample delays every
  play by one sample; like the length of a cable it is in every calibrated delay.
* Armed is a box with segment 2 selected, so that it can be read back. Every change begins with an
  `:ABOR`, which stops all outputs: a box can have one role.

The firmware runs on a computer of its own and listens only while its front panel program is open.

Source: Ulm-IQO/qudi-iqo-modules and Keysight's PyArbTools; parts of the M8195A User's Guide.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
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
from drivers.transports.scpi import Scpi
from drivers.transports.settings import own_settings
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "KeysightM8195A", "KeysightM8195ASettings"]

_DIVIDER = 4
_CLOCK_HZ = Range(lowest=53.76e9, highest=65e9)
_FULL_CODE = 127
_GRANULARITY = 256
_LEAST = 1280
_CHUNK = 523_200
"""Bytes of a message of samples, as the maker's own tool sends them."""
_CONVERTED = 1 << 16
_PULSE = 16_384
"""Samples of the trigger pulse: about 1 us."""
_MEMORY = 1 << 26
_LEAST_FULL_V, _MOST_FULL_V = 0.0375, 0.5
_SLOW_S = 60.0
_REST, _PLAY = 1, 2
_LAST_CHANNEL = 4


@dataclass(frozen=True, kw_only=True)
class KeysightM8195ASettings:
    """How the bench's trigger line is connected.

    Args:
        trigger_channel: output that gives the pulse of the line, 1 to 4; not the role's own.
        trigger_level_v: of the trigger input, -4 to 4 V.
    """

    trigger_channel: int = 4
    trigger_level_v: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.trigger_channel <= _LAST_CHANNEL:
            raise ConfigurationError(
                f"trigger_channel is {self.trigger_channel}; it must be 1 to {_LAST_CHANNEL}"
            )
        if not -4 <= self.trigger_level_v <= 4:
            raise ConfigurationError(
                f"trigger_level_v is {self.trigger_level_v}; it must be -4 to 4 V"
            )


class KeysightM8195A(TimedGenerator):
    """One output of the box; see the module for how it plays.

    A software-triggered play counts as over after its duration on the driver's clock. Armed for the
    line it stays armed until `finish` or `stop`: no query is known that says whether it has played.

    Args:
        name: role in the bench.
        limits: what may be set; one channel.
        link: to the computer of the box.
        clock: for the duration of a play.
        channel: output, 1 to 4.
        settings: the trigger line.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 2.0
    sample_rate_tolerance = 1e-8

    def __init__(
        self,
        name: str,
        *,
        limits: GeneratorLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: KeysightM8195ASettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, link=link, clock=clock, simulated=simulated)
        self._scpi = Scpi(link)
        self._settings = KeysightM8195ASettings() if settings is None else settings
        if self._settings.trigger_channel == channel:
            raise ConfigurationError(
                f"{name}: trigger_channel is {channel}, the role's own output; use another"
            )
        self._channel, self._marker = channel, self._settings.trigger_channel
        volts = limits.volts
        full_v = max(abs(volts.lowest), abs(volts.highest))
        self._full_v = min(max(full_v, _LEAST_FULL_V), _MOST_FULL_V)
        self._codes: NDArray[np.int8] | None = None
        self._held_play: tuple[int, int] | None = None
        self._in_mode = False

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        pattern = r"(Keysight|Agilent) Technologies,M8195A"
        refuse_stranger(self.name, identity, pattern, "Keysight M8195A")
        return identity

    def _forget_play(self) -> None:
        self._codes = self._held_play = None
        self._in_mode = False

    def _make_safe(self) -> None:
        # The outputs first: before the first rest nobody knows what the box plays.
        self._attempt_all([partial(self._set_output, 0, False), self._marker_off, self._stop])

    def _marker_off(self) -> None:
        self._scpi.set(f":OUTP{self._marker} OFF")

    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        clock_hz = sample_rate_hz * _DIVIDER
        _CLOCK_HZ.check(self.name, f"clock ({_DIVIDER} times the sample rate)", "Hz", clock_hz)
        self._scpi.set(":ABOR", f":FREQ:RAST {clock_hz:.15g}", timeout_s=_SLOW_S)
        self._scpi.query("*OPC?", _SLOW_S)
        # A change of the clock may wipe the memory.
        self._rest()

    def _get_sample_rate(self) -> float:
        return self._scpi.number(":FREQ:RAST?") / _DIVIDER

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        del channel  # there is one
        self._codes = None
        codes = np.empty(len(volts), dtype=np.int8)
        scale = np.float32(_FULL_CODE / self._full_v)
        for begin in range(0, len(volts), _CONVERTED):
            part = volts[begin : begin + _CONVERTED]
            np.multiply(part, scale, out=part)
            np.rint(part, out=part)
            codes[begin : begin + len(part)] = part
        self._rest()
        self._upload(codes, 0)
        self._codes = codes

    def _idle_code(self) -> int:
        return round(self._idle_v / self._full_v * _FULL_CODE)

    def _upload(self, codes: NDArray[np.int8], lead: int) -> None:
        """Make the segment of the play; the output is at rest before and after it.

        Args:
            codes: the waveform.
            lead: samples at the idle level that are its delay.
        """
        length = max(_LEAST, -(-(2 + lead + len(codes)) // _GRANULARITY) * _GRANULARITY)
        points = np.full(length, self._idle_code(), dtype=np.int8)
        points[1 + lead : 1 + lead + len(codes)] = codes
        pulse = np.full(min(_PULSE, length - _GRANULARITY), _FULL_CODE, dtype=np.int8)
        self._scpi.set(
            ":ABOR",
            f":TRAC{self._channel}:DEF {_PLAY},{length}",
            f":TRAC{self._marker}:DEF {_PLAY},{length},0",
        )
        for begin in range(0, length, _CHUNK):
            head = f":TRAC{self._channel}:DATA {_PLAY},{begin},"
            self._scpi.set_block(head, points[begin : begin + _CHUNK].data, _SLOW_S)
        self._scpi.set_block(f":TRAC{self._marker}:DATA {_PLAY},0,", pulse.data, _SLOW_S)
        self._scpi.set(":INIT:IMM")
        self._held_play = (self._idle_code(), lead)

    def _set_output(self, channel: int, on: bool) -> None:
        del channel  # there is one
        self._scpi.set(f":OUTP{self._channel} {'ON' if on else 'OFF'}")

    def _get_output(self, channel: int) -> bool:
        del channel  # there is one
        return self._scpi.flag(f":OUTP{self._channel}?")

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        if self._codes is None:
            raise InstrumentError(f"{self.name}: its waveform got lost; load() it again")
        rate_hz = self._get_sample_rate()
        lead = round(delay_s * rate_hz)
        points = 2 + lead + len(self._codes)
        if points > _MEMORY:
            raise LimitError(
                f"{self.name}: delay {delay_s} s and {len(self._codes)} samples at {rate_hz:.6g} "
                f"Hz are {points} samples; {_MEMORY} are allowed. Choose less of one of them"
            )
        if self._held_play is None or self._held_play != (self._idle_code(), lead):
            self._rest()
            self._upload(self._codes, lead)
        self._forget_end()
        level_v = self._settings.trigger_level_v
        self._scpi.set(
            ":ABOR",
            f":TRAC{self._channel}:SEL {_PLAY}",
            f":TRAC{self._marker}:SEL {_PLAY}",
            f":INIT:CONT{self._channel} OFF",
            f":INIT:GATE{self._channel} OFF",
            ":ARM:TRIG:SLOP POS",
            f":ARM:TRIG:LEV {level_v:.6g}",
            f":OUTP{self._marker} {'ON' if trigger is Trigger.SOFTWARE else 'OFF'}",
            ":INIT:IMM",
        )
        full_v = 2 * self._full_v
        volts = self._scpi.number(f":VOLT{self._channel}:AMPL?")
        self._confirm("amplitude", "V", full_v, volts, 1e-2 * full_v)
        self._duration_s = (points + _GRANULARITY) / rate_hz

    def _trigger(self) -> None:
        self._scpi.set(":TRIG:BEG")
        self._begun()

    def _holds_play(self) -> bool:
        return self._scpi.integer(f":TRAC{self._channel}:SEL?") == _PLAY

    def _rest(self) -> None:
        """Play the idle level on and on; whatever was in the memory is gone."""
        self._held_play = None
        if not self._in_mode:
            self._scpi.set(
                ":ABOR",
                ":INST:DACM FOUR",
                f":INST:MEM:EXT:RDIV DIV{_DIVIDER}",
                *[f":TRAC{one}:MMOD EXT" for one in (self._channel, self._marker)],
                timeout_s=_SLOW_S,
            )
            self._scpi.query("*OPC?", _SLOW_S)
            self._in_mode = True
        one, other = self._channel, self._marker
        self._scpi.set(
            ":ABOR",
            f":TRAC{one}:DEL:ALL",
            f":TRAC{other}:DEL:ALL",
            f":TRAC{one}:DEF {_REST},{_LEAST},{self._idle_code()}",
            f":TRAC{other}:DEF {_REST},{_LEAST},0",
            f":TRAC{one}:SEL {_REST}",
            f":TRAC{other}:SEL {_REST}",
            f":VOLT{one}:AMPL {2 * self._full_v:.6g}",
            f":VOLT{one}:OFFS 0",
            f":FUNC{one}:MODE ARB",
            f":INIT:CONT{one} ON",
            ":INIT:IMM",
        )
        self._forget_end()


def _generator(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, GeneratorLimits)
    return KeysightM8195A(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(KeysightM8195ASettings(), entry),
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Keysight M8195A",
        backend="visa",
        kind=WaveformGenerator,
        limits=GeneratorLimits(
            channels=1,
            volts=Range(lowest=-_MOST_FULL_V, highest=_MOST_FULL_V),
            sample_rate_hz=Range(
                lowest=_CLOCK_HZ.lowest / _DIVIDER, highest=_CLOCK_HZ.highest / _DIVIDER
            ),
            samples=_MEMORY - 2,
            bits=8,
        ),
        make=_generator,
        confidence="medium",
        identity=r"(Keysight|Agilent) Technologies,M8195A",
        channels=_LAST_CHANNEL,
        source="qudi-iqo-modules, PyArbTools, and parts of the Keysight M8195A User's Guide",
        settings={
            "trigger_channel": "output that gives the pulse of the bench's trigger line (4)",
            "trigger_level_v": "of the trigger input in V (0.5)",
        },
    ),
)
