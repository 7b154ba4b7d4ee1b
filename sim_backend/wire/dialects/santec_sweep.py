"""Sweeps of Santec's lasers: prepared, run, perhaps after a trigger, and logged."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.santec_numbers import SantecNumbers
from sim_backend.wire.dialects.scpi_values import checked_value
from sim_backend.wire.scpi_session import Answer, Call, Complaint, Handler, block

__all__ = ["SantecSweep"]

_SPEEDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
_PREPARE_S = 0.2
_MOST_POINTS = 10_000
_POINTS_PER_M = 1e11


@dataclass
class _State:
    """The settings, and where the sweep is: 0 stopped, 1 running, 3 standing by, 4 preparing."""

    start_m: float
    stop_m: float
    speed: float = 10.0
    mode: int = 1
    cycles: int = 0
    standby: bool = False
    sweep: int = 0
    sweep_at_s: float = 0.0
    points: int = 0


class SantecSweep:
    """The sweep of one laser and its commands.

    Args:
        numbers: of the laser.
        clock: simulated time.
        move: sends the laser to a wavelength in m.
        wavelengths_m: lowest and highest.
    """

    def __init__(
        self,
        numbers: SantecNumbers,
        clock: SimulatedClock,
        move: Callable[[float], None],
        wavelengths_m: tuple[float, float],
    ) -> None:
        self._numbers = numbers
        self._clock = clock
        self._move = move
        self._wavelengths_m = wavelengths_m
        clock.on_advance(self._age)
        self.preset()

    def preset(self) -> None:
        """Stopped, over everything."""
        self._state = _State(start_m=self._wavelengths_m[0], stop_m=self._wavelengths_m[1])

    def table(self) -> Mapping[str, Handler]:
        """All commands of sweeps."""
        sweep = "[:SOURce#][:CHANnel#]:WAVelength:SWEep"
        numbers = self._numbers
        return {
            f"{sweep}[:STATe]": self._run,
            f"{sweep}[:STATe]?": lambda _: numbers.whole(self._state.sweep),
            f"{sweep}:STARt": partial(self._set_end, "start_m"),
            f"{sweep}:STARt?": lambda _: numbers.wavelength(self._state.start_m),
            f"{sweep}:STOP": partial(self._set_end, "stop_m"),
            f"{sweep}:STOP?": lambda _: numbers.wavelength(self._state.stop_m),
            f"{sweep}:SPEed": self._set_speed,
            f"{sweep}:SPEed?": lambda _: numbers.speed(self._state.speed),
            f"{sweep}:MODe": self._set_mode,
            f"{sweep}:MODe?": lambda _: numbers.whole(self._state.mode),
            f"{sweep}:CYCLes": self._set_cycles,
            f"{sweep}:CYCLes?": lambda _: numbers.whole(self._state.cycles),
            ":TRIGger:INPut:STANdby": self._set_standby,
            ":TRIGger:INPut:STANdby?": lambda _: numbers.whole(self._state.standby),
            ":TRIGger:INPut:SOFTtrigger": self._trigger,
            ":READout:POINts?": lambda _: numbers.whole(self._state.points),
            ":READout:DATa?": self._log,
        }

    def _set_end(self, which: str, call: Call) -> None:
        wavelength_m = self._numbers.read_wavelength(call)
        setattr(self._state, which, checked_value(wavelength_m, *self._wavelengths_m))

    def _set_speed(self, call: Call) -> None:
        speed = call.number()
        if speed not in _SPEEDS:
            raise Complaint(-222, "Data out of range")
        self._state.speed = speed

    def _set_mode(self, call: Call) -> None:
        self._state.mode = int(checked_value(call.number(), 0, 3))

    def _set_cycles(self, call: Call) -> None:
        self._state.cycles = int(checked_value(call.number(), 0, 999))

    def _set_standby(self, call: Call) -> None:
        self._state.standby = call.flag()

    def _run(self, call: Call) -> None:
        state = self._state
        if not call.flag():
            state.sweep = 0
            return
        if state.stop_m <= state.start_m:
            raise Complaint(-200, "Execution error")
        self._move(state.start_m)
        state.sweep = 3 if state.standby else 4
        state.sweep_at_s = self._clock.now() + _PREPARE_S

    def _trigger(self, _: Call) -> None:
        if self._state.sweep == 3:
            self._state.sweep, self._state.sweep_at_s = 4, self._clock.now()

    def _age(self, _: float) -> None:
        """Move a sweep on: from preparing to running, from running to done."""
        state, now_s = self._state, self._clock.now()
        if state.sweep == 4 and now_s >= state.sweep_at_s:
            state.sweep = 1
            state.sweep_at_s += (state.stop_m - state.start_m) * 1e9 / state.speed
        if state.sweep == 1 and now_s >= state.sweep_at_s:
            state.sweep = 0
            state.points = min(_MOST_POINTS, round((state.stop_m - state.start_m) * _POINTS_PER_M))
            self._move(state.stop_m)

    def _log(self, _: Call) -> Answer:
        state = self._state
        logged_m = np.linspace(state.start_m, state.stop_m, state.points)
        if self._numbers.scpi:
            return block(struct.pack(f"<{state.points}d", *logged_m))
        tenths_pm = np.rint(logged_m * 1e13).astype("<i4")
        return block(tenths_pm.tobytes())
