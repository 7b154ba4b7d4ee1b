"""Twins of NKT Koheras BASIK lasers, alone or in an ADJUSTIK mainframe."""

import math
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings, LaserSource
from sim_backend.wire.dialects.interbus import Cell, InterbusTwin, Registers, number
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["MAKERS", "Basik", "NktKoherasTwin"]

_STEP_M = 1e-13
_NO_POWER = -10000
_MAINFRAME = 0x80
_MODULATION: Final[dict[int, int]] = {0x2B: 2, 0x2C: 2, 0x2F: 2, 0x3A: 1, 0xA1: 4, 0xB4: 1,
                                      0xB5: 1, 0xB6: 1, 0xB7: 2}  # fmt: skip
"""Sizes of registers that are kept and do nothing to the light of the scene."""
_NOT_IN_K0X2: Final = (0x2B, 0x2C, 0x2F, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xBA)
_MAINFRAME_KEPT: Final[dict[int, int]] = {0x22: 8, 0x24: 2, 0x25: 2, 0x26: 8, 0x28: 2, 0x29: 2,
                                          0x31: 2, 0x34: 1, 0x3B: 2, 0x3E: 1, 0x3F: 1, 0xB0: 4,
                                          0xB4: 2, 0xB5: 2, 0xB7: 4}  # fmt: skip


class Basik:
    """One laser module.

    Attributes:
        interlock_closed: set it through `NktKoherasTwin.set_interlock`.

    Args:
        laser: of the scene.
        serial: serial number.
        kind: module type, 0x33 or 0x36.
        power_w: highest power.
        tuning_m: largest offset from the standard wavelength.
    """

    def __init__(
        self,
        laser: LaserPart,
        *,
        serial: str,
        kind: int = 0x33,
        power_w: float = 40e-3,
        tuning_m: float = 0.5e-9,
    ) -> None:
        self.interlock_closed = True
        self._laser = laser
        self._serial = serial
        self._kind = kind
        self._highest = round(power_w / 1e-5)
        self._tuning = round(tuning_m / _STEP_M)
        self._standard = round(laser.wavelength_setpoint_m() / _STEP_M)
        self._offset = 0
        self._power = 0
        self._setup = 0
        self._kept = {register: bytes(size) for register, size in _MODULATION.items()}
        self._kept |= {0xB8: struct.pack("<2f", 1.0, 1.0), 0x8D: b"", 0xA1: b"\0\0\xe8\x03"}
        self.set_emission(0)
        self.set_power(min(round(laser.power_setpoint_w() / 1e-5), self._highest))
        self.set_offset(0)

    def registers(self) -> Registers:
        """The map of the module's type."""
        kept = {
            register: Cell(read=partial(self._get, register), write=partial(self._keep, register))
            for register in self._kept
        }
        cells = kept | self._controls() | self._readings()
        if self._kind == 0x36:
            cells = {
                register: cell for register, cell in cells.items() if register not in _NOT_IN_K0X2
            }
        return cells

    def set_emission(self, value: int) -> bool:
        """Switch on (1) or off (0); refused with the interlock open."""
        if value > 1 or (value and not self.interlock_closed):
            return False
        self._laser.set_emission(bool(value))
        return True

    def set_power(self, value: int) -> bool:
        """New set point in steps of 0.01 mW."""
        if value > self._highest:
            return False
        self._power = value
        self._laser.set_power_w(value * 1e-5)
        return True

    def set_power_dbm(self, value: int) -> bool:
        """New set point in steps of 0.01 dBm."""
        return self.set_power(round(100 * 10 ** (value / 1000)))

    def set_offset(self, value: int) -> bool:
        """New offset from the standard wavelength in steps of 0.1 pm."""
        if abs(value) > self._tuning:
            return False
        self._offset = value
        self._laser.set_wavelength_m((self._standard + value) * _STEP_M)
        return True

    def _controls(self) -> dict[int, Cell]:
        return {
            0x22: number(2, lambda: self._power, self.set_power),
            0xA0: number(2, lambda: _dbm(self._power), self.set_power_dbm, signed=True),
            0x2A: number(2, lambda: self._offset, self.set_offset, signed=True),
            0x30: number(1, lambda: int(self._laser.emission()), self.set_emission),
            0x31: number(2, lambda: self._setup, self._set_setup),
        }

    def _readings(self) -> dict[int, Cell]:
        return {
            0x17: number(2, self._output),
            0x90: number(2, lambda: _dbm(self._output()), signed=True),
            0x32: number(4, lambda: self._standard),
            0x72: number(4, self._present_offset, signed=True),
            0x1C: number(2, lambda: 251, signed=True),
            0x1E: number(2, lambda: 12050),
            0xBA: Cell(read=lambda: struct.pack("<2f", 1.0, 1.0)),
            0x61: number(1, lambda: self._kind),
            0x64: Cell(read=lambda: b"\x0a\x011.10"),
            0x65: Cell(read=self._serial.encode),
            0x66: number(2, self._status),
            0x67: number(1, lambda: 0 if self.interlock_closed else 2),
        }

    def _status(self) -> int:
        emits = 1 if self._laser.emission() else 0
        return emits | (0 if self.interlock_closed else 0x8002)

    def _output(self) -> int:
        return round(self._laser.power_w() / 1e-5)

    def _present_offset(self) -> int:
        return round(self._laser.wavelength_m() / _STEP_M) - self._standard

    def _set_setup(self, value: int) -> bool:
        self._setup = value
        return True

    def _get(self, register: int) -> bytes:
        return self._kept[register]

    def _keep(self, register: int, data: bytes) -> bool:
        if len(data) > 240 or (register != 0x8D and len(data) != len(self._kept[register])):
            return False
        self._kept[register] = data
        return True


class NktKoherasTwin(InterbusTwin):
    """Lasers on a bus, with or without the mainframe.

    Args:
        clock: simulated time.
        serial: serial number; further lasers add their address to it.
        lasers: of the scene, by address.
        mainframe: address of the mainframe; 0 for none.
        kind: type of the modules.
        tuning_m: see `Basik`.
    """

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        lasers: Mapping[int, LaserPart],
        mainframe: int = 0,
        kind: int = 0x33,
        tuning_m: float = 0.5e-9,
    ) -> None:
        self.basiks = {
            address: Basik(
                laser,
                serial=serial if address == 1 else f"{serial}-{address}",
                kind=kind,
                tuning_m=tuning_m,
            )
            for address, laser in lasers.items()
        }
        self._serial = serial
        self._interlock_closed = True
        modules = {address: basik.registers() for address, basik in self.basiks.items()}
        if mainframe:
            modules[mainframe] = self._mainframe_registers()
        super().__init__(model="ADJUSTIK" if mainframe else "BASIK", clock=clock, modules=modules)

    def set_interlock(self, closed: bool) -> None:
        """Close the interlock, or open it: then nothing emits."""
        self._interlock_closed = closed
        for basik in self.basiks.values():
            basik.interlock_closed = closed
            if not closed:
                basik.set_emission(0)

    def _mainframe_registers(self) -> Registers:
        kept = {register: bytes(size) for register, size in _MAINFRAME_KEPT.items()}

        def keep(register: int, data: bytes) -> bool:
            if len(data) != len(kept[register]):
                return False
            kept[register] = data
            return True

        cells = {
            register: Cell(read=partial(kept.__getitem__, register), write=partial(keep, register))
            for register in kept
        }
        return cells | {
            0x11: number(2, lambda: 12000),
            0x2D: number(2, lambda: 0, partial(self._all, Basik.set_offset), signed=True),
            0x2E: number(2, lambda: 0, partial(self._all, Basik.set_power_dbm), signed=True),
            0x2F: number(2, lambda: 0, partial(self._all, Basik.set_power)),
            0x30: number(1, lambda: 0, partial(self._all, Basik.set_emission)),
            0x32: number(2, lambda: 0 if self._interlock_closed else 1),
            0x61: number(1, lambda: 0x34),
            0x65: Cell(read=f"{self._serial}M".encode),
            0x66: number(2, lambda: 0 if self._interlock_closed else 0x800A),
            0x67: number(1, lambda: 0 if self._interlock_closed else 2),
            0xB3: Cell(read=lambda: b"\x02\0\0\0\0\x01"),
        }

    def _all(self, order: Callable[[Basik, int], bool], value: int) -> bool:
        """A broadcast; the mainframe says nothing about what the modules made of it."""
        for basik in self.basiks.values():
            order(basik, value)
        return True


def _dbm(steps: int) -> int:
    """Steps of 0.01 mW in steps of 0.01 dBm."""
    return round(1000 * math.log10(steps / 100)) if steps > 0 else _NO_POWER


def _make(mainframe: int, place: TwinPlace) -> Twin:
    lasers = {n: part for n, part in place.parts.items() if isinstance(part, LaserSource)}
    if not lasers:
        # A laser that shines nowhere.
        lasers[1] = LaserSource(LaserSettings(), rng=np.random.default_rng(1), clock=place.clock)
    return NktKoherasTwin(
        clock=place.clock, serial=place.serial, lasers=lasers, mainframe=mainframe
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    "NKT Koheras BASIK": partial(_make, 0),
    "NKT Koheras ADJUSTIK": partial(_make, _MAINFRAME),
}
