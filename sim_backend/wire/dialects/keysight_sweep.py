"""Sweeps of Keysight's tunable lasers: their settings, their checks, and the wavelengths logged."""

import struct
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.keysight_n77xx import n77xx_checked, n77xx_number
from sim_backend.wire.dialects.scpi_values import LENGTH_UNITS, TIME_UNITS
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler, block

__all__ = ["SWEEP_WAVELENGTHS_M", "KeysightSweep", "asked_limit", "sweep_table"]

SWEEP_WAVELENGTHS_M = (1480e-9, 1640e-9)
_SPEEDS_M_S = (0.5e-9, 200e-9)
_STEP_M = (1e-13, 1e-7)
_MOST_TRIGGERS = 100_001
_FASTEST_TRIGGERS_HZ = 40e3
_SPEED_UNITS: Final = {"NM/S": 1e-9, "PM/S": 1e-12, "UM/S": 1e-6, "M/S": 1.0}


def asked_limit(call: Call) -> float | None:
    """The limit that a query asks for; None where it asks for the value."""
    if not call.arguments:
        return None
    lowest_m, highest_m = SWEEP_WAVELENGTHS_M
    return lowest_m if call.word({"MIN": "MIN", "MAX": "MAX"}) == "MIN" else highest_m


class KeysightSweep:
    """The sweep of one laser. Running: 0 stopped, 1 running, 2 paused.

    Args:
        clock: simulated time.
        move: sends the laser to a wavelength in m.
        here_m: where the laser is.
        modulated: whether its amplitude modulation is on.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        *,
        move: Callable[[float], None],
        here_m: Callable[[], float],
        modulated: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._move = move
        self._here_m = here_m
        self._modulated = modulated
        self.start_m, self.stop_m, self.step_m = 1540e-9, 1560e-9, 1e-12
        self.speed_m_s = 50e-9
        self.mode, self.repeat = "CONT", "ONEW"
        self.cycles = 1
        self.dwell_s = 0.1
        self.logging = False
        self.trigger_output, self.trigger_input = "DIS", "IGN"
        self.running = 0
        self.waits = False
        self.logged = 0
        self._until_s = 0.0

    def set_end(self, which: str, call: Call) -> None:
        """Where it starts or stops."""
        setattr(self, which, n77xx_checked(call.number(LENGTH_UNITS), *SWEEP_WAVELENGTHS_M))

    def end(self, which: str, call: Call) -> str:
        """Where it starts or stops, or a limit of that."""
        found = asked_limit(call)
        return n77xx_number(getattr(self, which) if found is None else found)

    def set_step(self, call: Call) -> None:
        """The step, which is that of the triggers too."""
        self.step_m = n77xx_checked(call.number(LENGTH_UNITS), *_STEP_M)

    def set_speed(self, call: Call) -> None:
        """The speed of a continuous sweep."""
        self.speed_m_s = n77xx_checked(call.number(_SPEED_UNITS), *_SPEEDS_M_S)

    def set_mode(self, call: Call) -> None:
        """Stepped, manual or continuous."""
        self.mode = call.word({"STEPped": "STEP", "MANual": "MAN", "CONTinuous": "CONT"})

    def set_repeat(self, call: Call) -> None:
        """One way or both."""
        self.repeat = call.word({"ONEWay": "ONEW", "TWOWay": "TWOW"})

    def set_cycles(self, call: Call) -> None:
        """How many sweeps."""
        self.cycles = int(n77xx_checked(call.number(), 0.0, 999.0))

    def set_dwell(self, call: Call) -> None:
        """Time at each step."""
        self.dwell_s = n77xx_checked(call.number(TIME_UNITS), 0.0, 1e3)

    def set_logging(self, call: Call) -> None:
        """Whether the wavelengths of the steps are logged."""
        self.logging = call.flag()

    def set_trigger_output(self, call: Call) -> None:
        """When a trigger is given."""
        words = {"DISabled": "DIS", "STFinished": "STF", "SWFinished": "SWF", "SWSTarted": "SWST"}
        self.trigger_output = call.word(words)

    def set_trigger_input(self, call: Call) -> None:
        """What a trigger does."""
        self.trigger_input = call.word({"IGNore": "IGN", "NEXTstep": "NEXT", "SWStart": "SWS"})

    def run(self, call: Call) -> None:
        """Start, stop or pause."""
        words = {"0": "0", "STOP": "0", "1": "1", "STARt": "1", "2": "2", "PAUSe": "2"}
        wanted = int(call.word(words))
        if wanted == 1:
            if not self.check().startswith("0,"):
                self.logging = False
                raise Complaint(-221, "Settings conflict (sweep parameters inconsistent)")
            self._move(self.start_m)
            self._until_s = self._clock.now() + self._duration_s()
        self.running = wanted
        self.waits = wanted == 1 and self.trigger_input == "SWS"

    def trigger(self, _: Call) -> None:
        """A trigger by software."""
        if self.running and self.waits:
            self.waits = False
            self._until_s = self._clock.now() + self._duration_s()

    def step(self, direction: int, _: Call) -> None:
        """One step by hand."""
        if self.mode != "MAN":
            raise Complaint(-221, "Settings conflict (sweep mode is not manual)")
        self._move(self._here_m() + direction * self.step_m)

    def log(self, _: Call) -> Answer:
        """The wavelengths of the last logged sweep in m."""
        wavelengths_m = self.start_m + self.step_m * np.arange(self.logged)
        return block(struct.pack(f"<{self.logged}d", *wavelengths_m))

    def triggers(self) -> int:
        """How many steps a sweep has."""
        return int((self.stop_m - self.start_m) / self.step_m + 1.5)

    def check(self) -> str:
        """Whether a sweep can be started, with the codes of the maker's guide."""
        if self.stop_m <= self.start_m:
            return "368,LambdaStop <=LambdaStart"
        if self.logging:
            if self.mode != "CONT":
                return "376,lambda logging only in continuous sweep"
            if self.trigger_output != "STF":
                return "375,lambda logging needs trigger output step finished"
            if self._modulated():
                return "374,modulation must be coherence control or off"
            if self.triggers() > _MOST_TRIGGERS:
                return "373,too many triggers"
        if self.trigger_output == "STF" and self.speed_m_s / self.step_m > _FASTEST_TRIGGERS_HZ:
            return "371,trigger frequency too high"
        return "0,OK"

    def age(self) -> None:
        """End it if its time is over; logging is off behind it."""
        if self.running == 1 and not self.waits and self._clock.now() >= self._until_s:
            self.running = 0
            self.logged = self.triggers() if self.logging else 0
            self.logging = False
            self._move(self.stop_m)

    def _duration_s(self) -> float:
        if self.mode == "STEP":
            return self.triggers() * self.dwell_s
        return (self.stop_m - self.start_m) / self.speed_m_s


def sweep_table(source: str, find: Callable[[Call], KeysightSweep]) -> Mapping[str, Handler]:
    """All commands of sweeps.

    Args:
        source: pattern of the node of the laser, with its slot as the first suffix.
        find: the sweep that a command is for.
    """

    def at(do: Callable[[KeysightSweep, Call], Answer]) -> Handler:
        return lambda call: do(find(call), call)

    sweep, one = f"{source}:WAVelength:SWEep", KeysightSweep
    return {
        f"{sweep}:STARt": at(lambda one, call: one.set_end("start_m", call)),
        f"{sweep}:STARt?": at(lambda one, call: one.end("start_m", call)),
        f"{sweep}:STOP": at(lambda one, call: one.set_end("stop_m", call)),
        f"{sweep}:STOP?": at(lambda one, call: one.end("stop_m", call)),
        f"{sweep}:STEP[:WIDTh]": at(one.set_step),
        f"{sweep}:STEP[:WIDTh]?": at(lambda one, _: n77xx_number(one.step_m)),
        f"{sweep}:SPEed": at(one.set_speed),
        f"{sweep}:SPEed?": at(lambda one, _: n77xx_number(one.speed_m_s)),
        f"{sweep}:MODE": at(one.set_mode),
        f"{sweep}:MODE?": at(lambda one, _: one.mode),
        f"{sweep}:REPeat": at(one.set_repeat),
        f"{sweep}:REPeat?": at(lambda one, _: one.repeat),
        f"{sweep}:CYCLes": at(one.set_cycles),
        f"{sweep}:CYCLes?": at(lambda one, _: f"{one.cycles:+d}"),
        f"{sweep}:DWELl": at(one.set_dwell),
        f"{sweep}:DWELl?": at(lambda one, _: n77xx_number(one.dwell_s)),
        f"{sweep}:LLOGging": at(one.set_logging),
        f"{sweep}:LLOGging?": at(lambda one, _: f"{one.logging:+d}"),
        ":TRIGger#:OUTPut": at(one.set_trigger_output),
        ":TRIGger#:OUTPut?": at(lambda one, _: one.trigger_output),
        ":TRIGger#:INPut": at(one.set_trigger_input),
        ":TRIGger#:INPut?": at(lambda one, _: one.trigger_input),
        f"{sweep}[:STATe]": at(one.run),
        f"{sweep}[:STATe]?": at(lambda one, _: f"{one.running:+d}"),
        f"{sweep}:SOFTtrigger": at(one.trigger),
        f"{sweep}:FLAG?": at(lambda one, _: f"{one.waits:+d}"),
        f"{sweep}:CHECkparams?": at(lambda one, _: one.check()),
        f"{sweep}:EXPectedtriggernum?": at(lambda one, _: f"{one.triggers():+d}"),
        f"{sweep}:STEP:NEXT": at(lambda one, call: one.step(1, call)),
        f"{sweep}:STEP:PREVious": at(lambda one, call: one.step(-1, call)),
        f"{source}:READout:POINts?": at(lambda one, _: f"{one.logged:+d}"),
        f"{source}:READout:DATA?": at(one.log),
    }
