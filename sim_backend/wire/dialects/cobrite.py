"""The lasers of ID Photonics' CoBrite boxes: their values, how they are written and refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from drivers.bench.units import dbm_from_si, si_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S

__all__ = [
    "COBRITE_QUANTITIES",
    "CobriteLaser",
    "CobriteQuantity",
    "CobriteRefusal",
    "actual_power",
    "cobrite_number",
    "wavelength_limits",
    "with_short_forms",
]

_FREQUENCIES_THZ = (191.102, 196.102)
_OFFSET_GHZ = 12.0
_POWERS_DBM = (6.0, 15.5)
_DARK_DBM = -40.0


class CobriteRefusal(Exception):  # noqa: N818 - what the box says, not a fault of the program
    """An error that is answered.

    Args:
        code: its number.
        text: its text.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"ERR {code}, {text}")


@dataclass
class CobriteLaser:
    """The state of one laser."""

    part: LaserPart
    frequency_thz: float = 193.4145
    offset_ghz: float = 0.0
    dither: int = 1
    busy_until_s: float = 0.0
    may_emit: bool = True
    """Whether the interlock of the box is closed."""

    def is_busy(self, now_s: float) -> bool:
        """Whether it tunes."""
        unsettled = self.part.emission() and not self.part.is_settled()
        return unsettled or now_s < self.busy_until_s - 1e-12

    def tune(self) -> None:
        """Send the light where frequency and offset say."""
        frequency_hz = self.frequency_thz * 1e12 + self.offset_ghz * 1e9
        self.part.set_wavelength_m(SPEED_OF_LIGHT_M_PER_S / frequency_hz)

    def power_dbm(self) -> float:
        """The set point."""
        return dbm_from_si(self.part.power_setpoint_w())


@dataclass(frozen=True, kw_only=True)
class CobriteQuantity:
    """A value of a laser that can be set and asked for."""

    ask: Callable[[CobriteLaser], str]
    put: Callable[[CobriteLaser, str], None]


def cobrite_number(text: str, lowest: float, highest: float) -> float:
    """A number in a range, or the error that is answered."""
    try:
        value = float(text)
    except ValueError:
        raise CobriteRefusal(-1, "parse failure") from None
    if not lowest <= value <= highest:
        raise CobriteRefusal(102, "illegal argument")
    return value


def _flag(text: str) -> bool:
    return bool(cobrite_number(text, 0, 1))


def _put_frequency(laser: CobriteLaser, text: str) -> None:
    laser.frequency_thz = round(cobrite_number(text, *_FREQUENCIES_THZ), 4)
    laser.tune()


def _put_wavelength(laser: CobriteLaser, text: str) -> None:
    wavelength_nm = cobrite_number(text, 1000.0, 2000.0)
    _put_frequency(laser, f"{SPEED_OF_LIGHT_M_PER_S / wavelength_nm / 1e3:.6f}")


def _put_offset(laser: CobriteLaser, text: str) -> None:
    laser.offset_ghz = round(cobrite_number(text, -_OFFSET_GHZ, _OFFSET_GHZ), 3)
    laser.tune()


def _put_power(laser: CobriteLaser, text: str) -> None:
    laser.part.set_power_w(si_from_dbm(round(cobrite_number(text, *_POWERS_DBM), 2)))


def _put_dither(laser: CobriteLaser, text: str) -> None:
    laser.dither = int(_flag(text))


def actual_power(laser: CobriteLaser) -> str:
    """What the laser's monitor says, in dBm."""
    power_w = laser.part.power_w()
    return f"{dbm_from_si(power_w) if power_w > 1e-7 else _DARK_DBM:.2f}"


def _wavelength_nm(frequency_thz: float) -> float:
    return SPEED_OF_LIGHT_M_PER_S / frequency_thz / 1e3


def wavelength_limits() -> str:
    """Lowest and highest wavelength in nm."""
    lowest_thz, highest_thz = _FREQUENCIES_THZ
    return f"{_wavelength_nm(highest_thz):.4f},{_wavelength_nm(lowest_thz):.4f}"


COBRITE_QUANTITIES: Final[Mapping[str, CobriteQuantity]] = {
    "FREQuency": CobriteQuantity(ask=lambda one: f"{one.frequency_thz:.4f}", put=_put_frequency),
    "WAVelength": CobriteQuantity(
        ask=lambda one: f"{_wavelength_nm(one.frequency_thz):.4f}", put=_put_wavelength
    ),
    "OFFset": CobriteQuantity(ask=lambda one: f"{one.offset_ghz:.3f}", put=_put_offset),
    "POWer": CobriteQuantity(ask=lambda one: f"{one.power_dbm():.2f}", put=_put_power),
    "STATe": CobriteQuantity(
        ask=lambda one: f"{one.part.emission():d}",
        put=lambda one, text: one.part.set_emission(_flag(text) and one.may_emit),
    ),
    "DITher": CobriteQuantity(ask=lambda one: str(one.dither), put=_put_dither),
    "DITH": CobriteQuantity(ask=lambda one: str(one.dither), put=_put_dither),
    "SBS:STATe": CobriteQuantity(ask=lambda one: str(one.dither), put=_put_dither),
}

_Entry = TypeVar("_Entry")


def with_short_forms(table: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """All names in capitals: wholly long, and wholly short; the two are not mixed."""
    found: dict[str, _Entry] = {}
    for name, entry in table.items():
        found[name.upper()] = entry
        found["".join(character for character in name if not character.islower())] = entry
    return found
