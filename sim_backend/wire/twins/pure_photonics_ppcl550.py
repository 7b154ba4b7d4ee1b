"""Twins of Pure Photonics PPCL500, PPCL550 and PPCL700, and of another maker's ITLA."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings, LaserSource
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.dialects.itla import Code, ItlaTwin, RefusalError
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "PurePhotonicsPPCL550Twin"]

_STATUS_F, _STATUS_W = 0x20, 0x21
_CHANNEL, _POWER, _RESET_ENABLE, _GRID = 0x30, 0x31, 0x32, 0x34
_FIRST = (0x35, 0x36, 0x67)
_FINE, _CHANNEL_HIGH, _GRID_MHZ, _MODE = 0x62, 0x65, 0x66, 0x90
_OUTPUT = 0x0008
_TEXTS: Final = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07)
_LATER: Final = frozenset((0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B))
"""Registers that modules of the agreement 01.2 do not have."""
_STORED: Final[dict[int, int]] = {
    0x08: 0, 0x09: 0, 0x0A: 0, 0x0D: 0, 0x0E: 0, 0x0F: 0, 0x10: 0, 0x14: 0,
    0x22: 300, 0x23: 200, 0x24: 250, 0x25: 100, 0x26: 500, 0x27: 200,
    0x28: 0x1FBF, 0x29: 0x000F, 0x2A: 0x0D0D, 0x33: 0,
    0x59: 0, 0x5A: 0, 0x5B: 0, 0x5C: 0, 0x5D: 0xFE0C, 0x5E: 7500, 0x5F: 100, 0x60: 90,
    0x63: 0, 0x64: 0,
}  # fmt: skip
"""Registers that are written and read without an effect on the light, with their first values."""
_VENDOR: Final = (0xD0, 0xD1, 0xD2, 0xE0, 0xE4, 0xE5, 0xE6, 0xEA, 0xEB, 0xEC, 0xED)
_FREQUENCY_SET: Final = frozenset((_CHANNEL, _GRID, *_FIRST, _CHANNEL_HIGH, _GRID_MHZ))
_DARK: Final = -6000
_LOCKED_MHZ = 100.0
_LOCKED_POWER = 0.02
_FINE_S = 1.0
_RELOCK_S = 2.0
_POWER_NOISE = 2.0
"""Hundredths of a dB, root mean square, of the reading of the power."""
_COMMUNICATION_LATCH, _EXECUTION_LATCH, _RESET_LATCH = 0x40, 0x80, 0x20


class PurePhotonicsPPCL550Twin(ItlaTwin):
    """A module with one laser.

    Args:
        clock: simulated time.
        serial: serial number.
        laser: of the scene; one of its own where there is none.
        texts: maker and model.
        power_dbm: lowest and highest power.
        range_mhz: lowest and highest frequency.
        fine_range_mhz: of the fine tuning, to either side.
        maker_registers: whether it has those of Pure Photonics. Such a module takes a channel that
            it cannot reach without a word, others refuse it.
        in_mhz: whether it has the registers of the agreement 01.3.
        tune_s: least time to tune with the output on.
        startup_s: time after power-up until it is ready.
        marks_answers: see `ItlaTwin`.
    """

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        laser: LaserPart | None = None,
        texts: tuple[str, str] = ("Pure Photonics", "PPCL550"),
        power_dbm: tuple[float, float] = (7.0, 13.5),
        range_mhz: tuple[int, int] = (191_500_000, 196_250_000),
        fine_range_mhz: int = 30_000,
        maker_registers: bool = True,
        in_mhz: bool = True,
        tune_s: float = 3.0,
        startup_s: float = 1.0,
        marks_answers: bool = True,
    ) -> None:
        super().__init__(
            model=texts[1], clock=clock, marks_answers=marks_answers, startup_s=startup_s
        )
        self._laser = _own_laser(clock) if laser is None else laser
        strings = ("CW ITLA", texts[0], texts[1], serial, "15-MAR-2019", "1.30:1.3", "1.20:1.2")
        self._texts = {
            register: text.encode("ascii") + b"\0"
            for register, text in zip(_TEXTS, strings, strict=True)
        }
        self._power_range = tuple(round(100 * dbm) for dbm in power_dbm)
        self._range_mhz = range_mhz
        self._fine_range_mhz = fine_range_mhz
        self._maker_registers = maker_registers
        self._in_mhz = in_mhz
        self._tune_s = tune_s
        self._noise = np.random.default_rng(550)
        self._latches = {_STATUS_F: _RESET_LATCH, _STATUS_W: _RESET_LATCH}
        self._values = dict(_STORED)
        self._output = False
        self._busy: tuple[float, bool] | None = None
        self._power_up()

    def _power_up(self) -> None:
        """Set points as stored, output off."""
        low, high = self._power_range
        wanted_w = self._laser.power_setpoint_w()
        stored = round(1000 * math.log10(wanted_w / 1e-3)) if wanted_w > 0 else low
        first_mhz = round(SPEED_OF_LIGHT_M_PER_S / self._laser.wavelength_setpoint_m() / 1e6)
        if not self._in_mhz:
            first_mhz = 100 * round(first_mhz / 100)
        self._values |= {
            _CHANNEL: 1, _CHANNEL_HIGH: 0, _GRID: 500, _GRID_MHZ: 0, _FINE: 0, _MODE: 0,
            _FIRST[0]: first_mhz // 1_000_000,
            _FIRST[1]: first_mhz % 1_000_000 // 100,
            _FIRST[2]: first_mhz % 100,
        }  # fmt: skip
        self._switch(False)
        self._set_power(min(max(stored, low), high))
        self._steer()

    def pending(self) -> int:
        """See `ItlaTwin.pending`."""
        if self._busy is not None:
            until_s, until_locked = self._busy
            if self.clock.now() >= until_s - 1e-12 and (not until_locked or self._is_locked()):
                self._busy = None
        return 0 if self._busy is None else 1

    def note(self, *, damaged: bool) -> None:
        """See `ItlaTwin.note`."""
        latch = _COMMUNICATION_LATCH if damaged else _EXECUTION_LATCH
        for register in self._latches:
            self._latches[register] |= latch

    def read_register(self, register: int) -> int | bytes:
        """See `ItlaTwin.read_register`."""
        self._need(register)
        if register in self._texts:
            return self._texts[register]
        if register in self._latches:
            return self._latches[register] | self._live(register) << 8
        if register == _RESET_ENABLE:
            return _OUTPUT if self._output else 0
        if register in self._readings():
            return self._readings()[register]()
        return self._values.get(register, 0)

    def write_register(self, register: int, value: int) -> bool:
        """See `ItlaTwin.write_register`."""
        self._need(register)
        if register == _RESET_ENABLE:
            return self._reset_or_enable(value)
        if register in self._latches:
            self._latches[register] &= ~value & 0xFF
            return False
        if register in self._texts or register in self._readings():
            raise RefusalError(Code.NOT_WRITABLE)
        if self.pending():
            raise RefusalError(Code.PENDING)
        if register in _FREQUENCY_SET and self._output:
            raise RefusalError(Code.OUTPUT_ENABLED)
        self._check(register, value)
        return self._store(register, value)

    def _store(self, register: int, value: int) -> bool:
        before = self._values.get(register, 0)
        self._values[register] = value
        if register == _POWER:
            self._set_power(_signed(value))
        elif register == _FINE:
            self._steer()
            if self._output:
                self._work(_FINE_S, until_locked=True)
        elif register in _FREQUENCY_SET:
            self._steer()
        elif register == _MODE and before and not value and self._output:
            return self._work(_RELOCK_S, until_locked=False)
        return False

    def _reset_or_enable(self, value: int) -> bool:
        if value & 0x0001:
            self._busy = None
            self._values = dict(_STORED)
            self._power_up()
            self.restart()
            return False
        on = bool(value & _OUTPUT)
        if on == self._output:
            return False
        self._switch(on)
        return on and self._work(self._tune_s, until_locked=self._reaches())

    def _switch(self, on: bool) -> None:
        self._output = on
        self._busy = None
        self._laser.set_emission(on and self._reaches())

    def _work(self, duration_s: float, *, until_locked: bool) -> bool:
        self._busy = (self.clock.now() + duration_s, until_locked)
        return True

    def _set_power(self, hundredths: int) -> None:
        self._values[_POWER] = hundredths & 0xFFFF
        self._laser.set_power_w(1e-3 * 10 ** (hundredths / 1000))

    def _steer(self) -> None:
        if self._reaches():
            self._laser.set_wavelength_m(SPEED_OF_LIGHT_M_PER_S / (1e6 * self._target_mhz()))

    def _check(self, register: int, value: int) -> None:
        low, high = self._power_range
        first_low, first_high = (edge // 1_000_000 for edge in self._range_mhz)
        wrong = {
            _POWER: not low <= _signed(value) <= high,
            _FINE: abs(_signed(value)) > self._fine_range_mhz,
            _MODE: value > 2,
            _CHANNEL: value == 0 and not self._values[_CHANNEL_HIGH],
            _FIRST[0]: not self._maker_registers and not first_low <= value <= first_high,
            _FIRST[1]: value > 9999,
            _FIRST[2]: value > 99,
        }
        if wrong.get(register, False):
            raise RefusalError(Code.VALUE_RANGE)

    def _need(self, register: int) -> None:
        known = (
            register in self._values
            or register in self._texts
            or register in self._latches
            or register == _RESET_ENABLE
            or register in self._readings()
            or (register in _VENDOR and self._maker_registers)
        )
        missing = register == _MODE and not self._maker_registers
        if not known or missing or (register in _LATER and not self._in_mhz):
            raise RefusalError(Code.NOT_IMPLEMENTED)

    def _readings(self) -> Mapping[int, Callable[[], int | bytes]]:
        (low, high), (low_power, high_power) = self._range_mhz, self._power_range
        return {
            0x15: lambda: 0,
            0x40: lambda: self._present_mhz() // 1_000_000,
            0x41: lambda: self._present_mhz() % 1_000_000 // 100,
            0x68: lambda: self._present_mhz() % 100,
            0x42: self._output_power,
            0x43: lambda: 2500,
            0x4F: lambda: self._fine_range_mhz,
            0x50: lambda: low_power,
            0x51: lambda: high_power,
            0x52: lambda: low // 1_000_000,
            0x53: lambda: low % 1_000_000 // 100,
            0x69: lambda: low % 100,
            0x54: lambda: high // 1_000_000,
            0x55: lambda: high % 1_000_000 // 100,
            0x6A: lambda: high % 100,
            0x56: lambda: 1 if self._in_mhz else 250,
            0x6B: lambda: 0,
            0x57: lambda: _words(1200, 2500 if self._output else 0),
            0x58: lambda: _words(2500, 3000),
            0x61: lambda: 1,
        }

    def _target_mhz(self) -> int:
        """Frequency that is asked for."""
        terahertz, gigahertz, megahertz = (self._values[register] for register in _FIRST)
        channel = self._values[_CHANNEL_HIGH] << 16 | self._values[_CHANNEL]
        grid_mhz = 100 * _signed(self._values[_GRID]) + _signed(self._values[_GRID_MHZ])
        first_mhz = 1_000_000 * terahertz + 100 * gigahertz + megahertz
        return first_mhz + (channel - 1) * grid_mhz + _signed(self._values[_FINE])

    def _present_mhz(self) -> int:
        if not self._laser.emission():
            return min(max(self._target_mhz(), self._range_mhz[0]), self._range_mhz[1])
        return round(SPEED_OF_LIGHT_M_PER_S / self._laser.wavelength_m() / 1e6)

    def _reaches(self) -> bool:
        low, high = self._range_mhz
        return low - self._fine_range_mhz <= self._target_mhz() <= high + self._fine_range_mhz

    def _output_power(self) -> int:
        power_w = self._laser.power_w()
        if power_w <= 1e-9:
            return _DARK
        noise = _POWER_NOISE * float(self._noise.standard_normal())
        return max(round(1000 * math.log10(power_w / 1e-3) + noise), _DARK)

    def _is_locked(self) -> bool:
        off_mhz = abs(self._present_mhz() - self._target_mhz())
        wanted_w = self._laser.power_setpoint_w()
        return (
            off_mhz <= _LOCKED_MHZ
            and abs(self._laser.power_w() - wanted_w) <= _LOCKED_POWER * wanted_w
            and self._laser.is_locked()
        )

    def _live(self, register: int) -> int:
        """High byte of a status register: PWR, THERM, FREQ, VSF, DIS, summary, ALM, SRQ."""
        disabled = 0x10 if register == _STATUS_F and not self._output else 0
        if not self._output or self.pending():
            return disabled
        power_limit, frequency_limit = (
            (self._values[0x22], self._values[0x24])
            if register == _STATUS_F
            else (self._values[0x23], self._values[0x25])
        )
        off_power = abs(self._output_power() - _signed(self._values[_POWER])) > power_limit
        off_mhz = abs(self._present_mhz() - self._target_mhz())
        off_frequency = off_mhz > 100 * frequency_limit or not self._laser.is_locked()
        found = (0x01 if off_power else 0) | (0x04 if off_frequency else 0)
        self._latches[register] |= found
        return found | (0x20 if found else 0)


def _signed(value: int) -> int:
    return value - 0x10000 if value > 0x7FFF else value


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big", signed=True) for value in values)


def _own_laser(clock: SimulatedClock) -> LaserSource:
    """A laser that shines nowhere."""
    return LaserSource(LaserSettings(), rng=np.random.default_rng(1), clock=clock)


def _make(texts: tuple[str, str], maker_registers: bool, place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return PurePhotonicsPPCL550Twin(
        clock=place.clock,
        serial=place.serial,
        laser=part if isinstance(part, LaserSource) else None,
        texts=texts,
        maker_registers=maker_registers,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    **{
        f"Pure Photonics {model}": partial(_make, ("Pure Photonics", model), True)
        for model in ("PPCL500", "PPCL550", "PPCL700")
    },
    "OIF ITLA": partial(_make, ("Some Maker", "ITLA-1"), False),
}
