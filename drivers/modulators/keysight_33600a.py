"""Keysight 33600A and 33500B arbitrary waveform generators; a driver uses one output of a box.

How a play is made from what these generators can do:

* The play is a triggered burst of one cycle of a waveform that begins and ends at the idle level.
  A burst rests at its first point. The extra point delays every play by one sample; like the length
  of a cable it is in every calibrated delay.
* At rest the output is a direct voltage at the idle level. Armed is whoever has the played waveform
  selected, so that it can be read back. Where the idle level is not 0 V, arming passes 0 V.
* Full scale is what the limits of the bench allow, so that no waveform can exceed them.
* The pulse of the bench's trigger line comes out of the rear trigger socket, which is also the
  input for external triggers, or out of the front Sync socket: `trigger_output`. A box whose two
  outputs are at different ends of the line needs `SYNC`, and a cable from there to the rear socket.

The voltages are right only for the load that the setting `load_ohm` names, 50 ohm by default.
HAZARD: a modulator of high impedance gets twice the voltage that a generator set for 50 ohm shows.
Put a 50 ohm terminator at the modulator, or set `load_ohm = inf` and measure.

Source: pymeasure, QCoDeS and pyLabLib drivers of the family; Keysight 33500 Series Operating and
Service Guide, burst mode.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_33600a import (
    FULL_CODE,
    LEAST_POINTS,
    Keysight33600ASettings,
    is_named,
    one_play,
)
from drivers.dialects.timed_generator import TimedGenerator
from drivers.errors import ConfigurationError, InstrumentError, LimitError, RefusedError
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
from drivers.transports.scpi import Scpi, parse_number
from drivers.transports.settings import own_settings
from drivers.transports.wired import refuse_stranger

__all__ = ["MODELS", "Keysight33600A"]

_MODELS = r"336[12][12]A|335[12][12]B"
_LEAST_FULL_V = 5e-3
_SOURCE_OHM = 50.0
_SOURCE_PEAK_V = 10.0
"""Offset and half of the amplitude together, behind the source's resistance."""
_LONGEST_DELAY_S = 1000.0
_DELAY_TOLERANCE_S = 5e-9
"""Of the delay that is read back, where a sample is shorter."""
_UPLOAD_BYTES_PER_S = 0.5e6
"""For the deadline of an upload; a tenth of what is usual."""


class Keysight33600A(TimedGenerator):
    """One output of a box; see the module for how it plays.

    A software-triggered play counts as over after its duration on the driver's clock. Armed for the
    line it stays armed until `finish` or `stop`: these boxes cannot be asked if they have played.

    Args:
        name: role in the bench.
        limits: what may be set; one channel.
        link: to the box.
        clock: for the duration of a play.
        channel: output of the box, from 1.
        settings: load and filter.
        simulated: whether an emulator answers.
    """

    def __init__(
        self,
        name: str,
        *,
        limits: GeneratorLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        settings: Keysight33600ASettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, link=link, clock=clock, simulated=simulated)
        self._scpi = Scpi(link)
        self._settings = Keysight33600ASettings() if settings is None else settings
        self._channel = channel
        self._source = f":SOUR{channel}"
        self._play, self._rest_name = f"vplay{channel}", f"vrest{channel}"
        volts = limits.volts
        self._full_v = max(abs(volts.lowest), abs(volts.highest), _LEAST_FULL_V)
        load_ohm = self._settings.load_ohm
        share = 1.0 if load_ohm == math.inf else load_ohm / (load_ohm + _SOURCE_OHM)
        self._peak_v = _SOURCE_PEAK_V * share
        if self._full_v > self._peak_v:
            raise ConfigurationError(
                f"{name}: {self._full_v} V are allowed, but the output reaches "
                f"{self._peak_v:.3g} V into {load_ohm} ohm; narrow the limits of the voltage"
            )
        self._highest_rate_hz = limits.sample_rate_hz.highest
        self._points: NDArray[np.int16] | None = None
        self._samples = 0

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        pattern = rf"(Keysight|Agilent) Technologies,({_MODELS})"
        refuse_stranger(self.name, identity, pattern, "Keysight 33600A or 33500B series")
        load = self._settings.load_ohm
        self._scpi.set(
            f":OUTP{self._channel}:LOAD {'INF' if load == math.inf else f'{load:.9g}'}",
            f"{self._source}:VOLT:UNIT VPP",
            f"{self._source}:FUNC:ARB:FILT {self._settings.filter}",
        )
        self._highest_rate_hz = self._scpi.number(f"{self._source}:FUNC:ARB:SRAT? MAX")
        return identity

    def _set_sample_rate(self, sample_rate_hz: float) -> None:
        if sample_rate_hz > self._highest_rate_hz:
            raise LimitError(
                f"{self.name}: sample rate {sample_rate_hz} Hz is beyond the instrument's own "
                f"limit of {self._highest_rate_hz} Hz with filter {self._settings.filter}; choose "
                "a lower rate or another filter"
            )
        self._scpi.set(f"{self._source}:FUNC:ARB:SRAT {sample_rate_hz:.15g}")

    def _get_sample_rate(self) -> float:
        return self._scpi.number(f"{self._source}:FUNC:ARB:SRAT?")

    def _load(self, channel: int, volts: NDArray[np.float32]) -> None:
        del channel  # there is one
        points = one_play(volts, full_v=self._full_v, idle_code=self._idle_code())
        self._rest()
        self._forget_play()
        self._upload(points)
        self._points, self._samples = points, len(volts)

    def _idle_code(self) -> int:
        return round(self._idle_v / self._full_v * FULL_CODE)

    def _upload(self, points: NDArray[np.int16]) -> None:
        """Replace what is in the output's memory: the play, and the rest on the way to it."""
        rest = ",".join([str(self._idle_code())] * LEAST_POINTS)
        head = f"{self._source}:DATA:ARB:DAC"
        # The byte order is the box's, not the link's: anybody may have changed it.
        clear = f"{self._source}:DATA:VOL:CLE"
        self._scpi.set(":FORM:BORD SWAP", clear, f"{head} {self._rest_name},{rest}")
        timeout_s = self._link.timeout_s + points.nbytes / _UPLOAD_BYTES_PER_S
        self._scpi.set_block(f"{head} {self._play},", points.data, timeout_s)

    def _set_output(self, channel: int, on: bool) -> None:
        del channel  # there is one
        self._scpi.set(f":OUTP{self._channel} {'ON' if on else 'OFF'}")

    def _get_output(self, channel: int) -> bool:
        del channel  # there is one
        return self._scpi.flag(f":OUTP{self._channel}?")

    def _arm(self, trigger: Trigger, delay_s: float) -> None:
        if delay_s > _LONGEST_DELAY_S:
            raise LimitError(
                f"{self.name}: delay {delay_s} s is beyond the instrument's {_LONGEST_DELAY_S} s; "
                "choose a shorter one"
            )
        points = self._points
        if points is None:
            raise InstrumentError(f"{self.name}: its waveform got lost; load() it again")
        if points[0] != self._idle_code():
            points[0] = points[1 + self._samples :] = self._idle_code()
            self._upload(points)
        rate_hz = self._get_sample_rate()
        self._forget_end()
        self._scpi.set(*self._arming(trigger, delay_s, rate_hz))
        self._confirm_arming(delay_s, rate_hz)
        self._duration_s = delay_s + len(points) / rate_hz

    def _arming(self, trigger: Trigger, delay_s: float, rate_hz: float) -> list[str]:
        """From the rest to the play, by way of a waveform that is the rest.

        Without a burst a waveform is played again and again: so it is selected last.
        """
        source, number = self._source, self._channel
        external = trigger is Trigger.EXTERNAL
        return [
            f"{source}:FUNC:ARB {self._rest_name}",
            f"{source}:VOLT:OFFS 0",
            f"{source}:VOLT {2 * self._full_v:.9g}",
            f"{source}:FUNC ARB",
            # Held from now on: relays that switch at every play wear out, and their glitches go
            # to the modulator.
            f"{source}:VOLT:RANG:AUTO ONCE",
            *self._pulse(wanted=not external),
            f":TRIG{number}:SOUR {'EXT' if external else 'BUS'}",
            f":TRIG{number}:SLOP POS",
            f":TRIG{number}:DEL {delay_s:.12g}",
            f"{source}:BURS:MODE TRIG",
            f"{source}:BURS:NCYC 1",
            f"{source}:BURS:PHAS 0",
            f"{source}:BURS:STAT ON",
            f"{source}:FUNC:ARB {self._play}",
            f"{source}:FUNC:ARB:SRAT {rate_hz:.15g}",
        ]

    def _pulse(self, *, wanted: bool) -> list[str]:
        """Orders for the pulse of the line; the other output may own the Sync socket."""
        if self._settings.trigger_output == "TRIG":
            return [f":OUTP:TRIG {'ON' if wanted else 'OFF'}"]
        sync = [f":OUTP:SYNC:SOUR CH{self._channel}", ":OUTP:SYNC ON"] if wanted else []
        return [":OUTP:TRIG OFF", *sync]

    def _confirm_arming(self, delay_s: float, rate_hz: float) -> None:
        """Make sure of all that could harm or mislead, in one question."""
        source, number = self._source, self._channel
        answers = self._several(
            f"{source}:VOLT?",
            f"{source}:VOLT:OFFS?",
            f":OUTP{number}:LOAD?",
            f"{source}:FUNC:ARB:SRAT?",
            f":TRIG{number}:DEL?",
            f"{source}:BURS:STAT?",
        )
        volts, offset, load, rate, delay, burst = (parse_number(one.encode()) for one in answers)
        full_v = 2 * self._full_v
        self._confirm("amplitude", "V", full_v, volts, 1e-3 * full_v)
        self._confirm("offset", "V", 0.0, offset, 1e-3 * full_v)
        wanted_ohm = min(self._settings.load_ohm, 9.9e37)
        self._confirm("load", "ohm", wanted_ohm, load, 1e-3 * wanted_ohm)
        self._confirm("sample rate", "Hz", rate_hz, rate, self.sample_rate_tolerance * rate_hz)
        self._confirm("delay", "s", delay_s, delay, max(_DELAY_TOLERANCE_S, 1 / rate_hz))
        self._confirm_state("burst", True, bool(burst))

    def _trigger(self) -> None:
        self._scpi.set(f":TRIG{self._channel}")
        self._begun()

    def _holds_play(self) -> bool:
        function, name = self._several(f"{self._source}:FUNC?", f"{self._source}:FUNC:ARB?")
        return function.strip().upper() == "ARB" and is_named(name, self._play)

    def _rest(self) -> None:
        """Give the idle level as a direct voltage.

        The readback decides, not the error queue: the burst that a direct voltage cannot have may
        be reported as a conflict, and the waveform of the rest may be gone after a power cut.
        """
        source = self._source
        orders = [f"{source}:FUNC:ARB {self._rest_name}"] if self._points is not None else []
        orders += [f"{source}:FUNC DC", *self._room_for_idle(), self._offset()]
        with self._link.held():
            self._link.send(";".join(orders).encode() + b"\n")
            reported = self._scpi.errors()
            function, offset = self._several(f"{source}:FUNC?", f"{source}:VOLT:OFFS?")
        offset_v = parse_number(offset.encode())
        function = function.strip().upper()
        if function != "DC" or not abs(offset_v - self._idle_v) <= 2e-3 * self._full_v + 1e-3:
            errors = "; ".join(f"{number} {text}" for number, text in reported) or "no error"
            raise RefusedError(
                f"{self._link.address}: the rest at {self._idle_v} V was refused: function "
                f"{function}, {offset_v} V, {errors}; take it as not carried out"
            )
        self._forget_end()

    def _room_for_idle(self) -> list[str]:
        """The amplitude counts against the offset, also where it is not seen."""
        if abs(self._idle_v) + self._full_v <= self._peak_v:
            return []
        return [f"{self._source}:VOLT:OFFS 0", f"{self._source}:VOLT 0.01"]

    def _offset(self) -> str:
        return f"{self._source}:VOLT:OFFS {self._idle_v:.9g}"

    def _several(self, *queries: str) -> list[str]:
        """Answers to questions that are asked in one message."""
        answer = self._scpi.query(";".join(queries))
        fields = answer.split(";")
        if len(fields) != len(queries):
            raise garbled(f"{len(queries)} answers", answer.encode())
        return fields

    def _forget_play(self) -> None:
        self._points = None
        self._samples = 0


def _generator(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, GeneratorLimits)
    return Keysight33600A(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        settings=own_settings(Keysight33600ASettings(), entry),
        simulated=context.simulated,
    )


def _limits(rate_hz: float, memory: int) -> GeneratorLimits:
    return GeneratorLimits(
        channels=1,
        volts=Range(lowest=-4.9, highest=4.9),
        sample_rate_hz=Range(lowest=1e3, highest=rate_hz),
        samples=memory - LEAST_POINTS - 2,
        bits=14,
    )


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=WaveformGenerator,
        limits=_limits(rate_hz, memory),
        make=_generator,
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{name}",
        channels=channels,
        source="pymeasure, QCoDeS and pyLabLib drivers of the 33500 and 33600 series",
        settings={
            "load_ohm": "resistance that the output really drives (50); wrong: wrong voltages",
            "filter": "of the converter: NORM, STEP or OFF (NORM)",
            "trigger_output": "the trigger line's pulse: TRIG, rear, or SYNC, front (TRIG)",
        },
    )
    for name, channels, rate_hz, memory in (
        ("33511B", 1, 160e6, 1_000_000),
        ("33512B", 2, 160e6, 1_000_000),
        ("33521B", 1, 250e6, 1_000_000),
        ("33522B", 2, 250e6, 1_000_000),
        ("33611A", 1, 660e6, 4_000_000),
        ("33612A", 2, 660e6, 4_000_000),
        ("33621A", 1, 1e9, 4_000_000),
        ("33622A", 2, 1e9, 4_000_000),
    )
)
