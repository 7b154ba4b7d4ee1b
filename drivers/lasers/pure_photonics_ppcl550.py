"""Pure Photonics PPCL500, PPCL550 and PPCL700, and any other ITLA: tunable laser modules.

Source: OIF-ITLA-MSA-01.3 for the registers all makers share; Pure Photonics' page on its command
structure for the noise modes.

What a bench must know:

* The channel's frequency can only be changed while the output is off. With the output on the laser
  is fine-tuned, by at most the range that the module says (up to 30 GHz to either side); a target
  beyond it is refused, and like every failed set this switches the output off. The order is: light
  off in the bench's order, new wavelength, light on.
* Frequencies have steps of 1 MHz, of 100 MHz in modules of the earlier agreement (01.2).
* While a module tunes, for seconds, it refuses most orders. Sets wait for it then; switching the
  output off does not.
* A Pure Photonics module dithers its frequency at about 888 Hz to stay locked. `set_noise_mode`
  stops that for a quiet line, which then drifts: go back to the standard mode now and then. Every
  switching on starts in the standard mode.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import ClassVar, Final

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.itla import ITLA_LINE, Itla
from drivers.dialects.itla_packets import Register
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    Laser,
    LaserLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "ItlaSettings", "NoiseMode", "PurePhotonicsPPCL550"]

_LIGHT_M_S = 299792458.0
_MHZ = 1e6
_OUTPUT = 0x0008
_WARNINGS = 0x0F00
_POWER_ERROR = 50
"""Hundredths of a dB between set point and reading that count as settled."""
_FREQUENCY_ERROR_MHZ = 2500
_EXCHANGE_S = 0.5
_SET = (Register.FIRST_THZ, Register.FIRST_GHZ, Register.FIRST_MHZ)
_EMITTED = (Register.LASER_THZ, Register.LASER_GHZ, Register.LASER_MHZ)
_LOWEST = (Register.LOWEST_THZ, Register.LOWEST_GHZ, Register.LOWEST_MHZ)
_HIGHEST = (Register.HIGHEST_THZ, Register.HIGHEST_GHZ, Register.HIGHEST_MHZ)


class NoiseMode(IntEnum):
    """What a Pure Photonics module does about its dither."""

    STANDARD = 0
    """Locked, with dither."""
    NO_DITHER = 1
    WHISPER = 2
    """No dither and no control: the quietest; the frequency drifts."""


@dataclass(frozen=True, kw_only=True)
class ItlaSettings:
    """How patient the driver is.

    Args:
        tune_timeout_s: longest time that the module may need to start or to tune, 1 to 600 s.
    """

    tune_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.tune_timeout_s <= 600:
            raise ConfigurationError(
                f"tune_timeout_s is {self.tune_timeout_s}; it must be 1 to 600 s"
            )


class PurePhotonicsPPCL550(Wired, Laser):
    """A tunable laser module.

    Args:
        name: role in the bench.
        limits: what may be set; the module's own limits, asked at each greeting, hold as well.
        link: to the module.
        clock: for polling.
        settings: how patient the driver is.
        noise_modes: whether the module is one of Pure Photonics, with their register of modes.
        simulated: whether an emulator answers.
    """

    lost_when_safe: ClassVar[tuple[str, ...]] = ("emission", "noise mode")
    safe_deadline_s: ClassVar[float] = 1.0
    poll_interval_s: ClassVar[float] = 0.05
    wavelength_tolerance_m: ClassVar[float] = 0.5e-12
    """Half a step of 100 MHz is 0.45 pm at 1625 nm."""

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        settings: ItlaSettings | None = None,
        noise_modes: bool = False,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._itla = Itla(name, link, self._clock)
        self._patience_s = (settings or ItlaSettings()).tune_timeout_s
        self._noise_modes = noise_modes
        self._in_mhz = True
        self._fine_range_mhz = 0
        self._power_range = (0, 0)
        self._range_mhz = (0, 0)

    def set_noise_mode(self, mode: NoiseMode) -> None:
        """Choose between a locked and a quiet laser; when it is settled, and until it is off.

        Args:
            mode: of the module.

        Raises:
            ReadbackError: the module reads back another mode; the emission is off.
            InstrumentError: the laser is closed, or is not one of Pure Photonics.
        """
        with self._held("noise mode?"):
            if not self._noise_modes:
                raise InstrumentError(
                    f"{self.name}: only modules of Pure Photonics have noise modes; choose their "
                    "model in the bench file if it is one"
                )
        with self._setting(f"set noise mode {mode.name}"):
            self._set_kept(
                "noise mode",
                mode.name,
                partial(self._write_mode, mode),
                partial(self._confirm_mode, mode),
            )

    def _greet(self) -> Identity:
        self._itla.resynchronise()
        self._itla.wait_ready(self._patience_s)
        found = _identity(self.name, self._itla)
        self._learn()
        return found

    def _learn(self) -> None:
        """What this very module can do."""
        itla = self._itla
        self._in_mhz = itla.has(Register.FIRST_MHZ)
        has_fine = itla.has(Register.FINE_TUNE_RANGE)
        self._fine_range_mhz = itla.read(Register.FINE_TUNE_RANGE) if has_fine else 0
        self._power_range = (
            itla.read_signed(Register.LOWEST_POWER),
            itla.read_signed(Register.HIGHEST_POWER),
        )
        self._range_mhz = (self._frequency_mhz(_LOWEST), self._frequency_mhz(_HIGHEST))

    def _set_power(self, power_w: float) -> None:
        hundredths = round(1000 * math.log10(power_w / 1e-3))
        low, high = self._power_range
        if not low <= hundredths <= high:
            raise LimitError(
                f"{self.name}: power {power_w} W ({hundredths / 100:.2f} dBm) is outside what this "
                f"module gives, {low / 100:.2f} to {high / 100:.2f} dBm; choose a power inside"
            )
        self._itla.write(Register.POWER, hundredths, wait_s=self._patience_s)

    def _get_power(self) -> float:
        return float(1e-3 * 10 ** (self._itla.read_signed(Register.POWER) / 1000))

    def _set_wavelength(self, wavelength_m: float) -> None:
        wanted_mhz = round(_LIGHT_M_S / wavelength_m / _MHZ)
        low, high = self._range_mhz
        # A module of Pure Photonics takes what it cannot reach without a word.
        if not low <= wanted_mhz <= high:
            raise LimitError(
                f"{self.name}: wavelength {wavelength_m} m ({wanted_mhz / 1e6:.6f} THz) is outside "
                f"what this module reaches, {low / 1e6:.6f} to {high / 1e6:.6f} THz; choose a "
                "wavelength inside"
            )
        if self._get_emission():
            self._fine_tune(wanted_mhz)
        else:
            self._tune(wanted_mhz)

    def _tune(self, wanted_mhz: int) -> None:
        """A new channel, with the output off."""
        if not self._in_mhz:
            wanted_mhz = 100 * round(wanted_mhz / 100)
        if self._fine_range_mhz and self._itla.read(Register.FINE_TUNE):
            self._write(Register.FINE_TUNE, 0)
        self._write(Register.FIRST_THZ, wanted_mhz // 1_000_000)
        self._write(Register.FIRST_GHZ, wanted_mhz % 1_000_000 // 100)
        if self._in_mhz:
            self._write(Register.FIRST_MHZ, wanted_mhz % 100)
        self._write(Register.CHANNEL, 1)

    def _fine_tune(self, wanted_mhz: int) -> None:
        """The same channel, with the output on."""
        shift_mhz = wanted_mhz - self._channel_mhz()
        if abs(shift_mhz) > self._fine_range_mhz:
            raise InstrumentError(
                f"{self.name}: with its output on the laser can be tuned by at most "
                f"{self._fine_range_mhz / 1e3:g} GHz from its channel, not by "
                f"{shift_mhz / 1e3:.6g} GHz; switch its emission off, set the wavelength, and "
                "switch it on again in the bench's order"
            )
        self._write(Register.FINE_TUNE, shift_mhz)

    def _get_wavelength(self) -> float:
        return _LIGHT_M_S / (_MHZ * (self._channel_mhz() + self._fine_mhz()))

    def _set_emission(self, on: bool) -> None:
        if on and self._noise_modes and self._itla.read(Register.NOISE_MODE):
            # Without its dither a cold laser does not lock.
            self._write_mode(NoiseMode.STANDARD)
        self._write(Register.RESET_ENABLE, _OUTPUT if on else 0)

    def _get_emission(self) -> bool:
        return bool(self._itla.read(Register.RESET_ENABLE) & _OUTPUT)

    def _is_settled(self) -> bool:
        itla = self._itla
        if not itla.readiness().idle or not self._get_emission():
            return False
        if itla.read(Register.STATUS_WARNING) & _WARNINGS:
            return False
        power_error = itla.read_signed(Register.OUTPUT_POWER) - itla.read_signed(Register.POWER)
        channel_mhz, fine_mhz = self._channel_mhz(), self._fine_mhz()
        # Whether a module counts the fine tuning in the frequency that it reports is its own.
        allowed_mhz = _FREQUENCY_ERROR_MHZ + abs(fine_mhz)
        frequency_error_mhz = self._frequency_mhz(_EMITTED) - channel_mhz
        return abs(power_error) <= _POWER_ERROR and abs(frequency_error_mhz) <= allowed_mhz

    def _write(self, register: Register, value: int) -> None:
        self._itla.write(register, value, wait_s=self._patience_s)

    def _write_mode(self, mode: NoiseMode) -> None:
        if self._itla.write(Register.NOISE_MODE, mode, wait_s=self._patience_s):
            self._itla.wait_idle(self._patience_s)

    def _confirm_mode(self, mode: NoiseMode) -> None:
        found = self._itla.read(Register.NOISE_MODE)
        known = NoiseMode(found).name if found in list(NoiseMode) else str(found)
        self._confirm_state("noise mode", mode.name, known)

    def _channel_mhz(self) -> int:
        """Frequency of the channel without fine tuning."""
        first_mhz = self._frequency_mhz(_SET)
        channel = self._itla.read(Register.CHANNEL)
        if channel == 1:  # as this driver sets it; others use the grid
            return first_mhz
        return first_mhz + (channel - 1) * 100 * self._itla.read_signed(Register.GRID)

    def _fine_mhz(self) -> int:
        return self._itla.read_signed(Register.FINE_TUNE) if self._fine_range_mhz else 0

    def _frequency_mhz(self, registers: tuple[Register, Register, Register]) -> int:
        terahertz, gigahertz, megahertz = registers
        found = 1_000_000 * self._itla.read(terahertz) + 100 * self._itla.read(gigahertz)
        return found + (self._itla.read(megahertz) if self._in_mhz else 0)


def _identity(name: str, itla: Itla) -> Identity:
    """Who answers, if it is a module of the agreement."""
    kind = itla.text(Register.DEVICE_TYPE)
    found = Identity(
        maker=itla.text(Register.MANUFACTURER),
        model=itla.text(Register.MODEL),
        serial=itla.text(Register.SERIAL_NUMBER),
        firmware=itla.text(Register.RELEASE),
    )
    if "ITLA" not in kind.upper():
        raise InstrumentError(
            f"{name}: a tunable laser of device type 'CW ITLA' was expected, {kind!r} of "
            f"{found.maker} {found.model} answers; two addresses may be exchanged, or the bench "
            "file names another model"
        )
    return found


def _probe(link: Link) -> Identity:
    itla = Itla(link.address, link, link.clock)
    itla.resynchronise()
    return _identity(link.address, itla)


def _laser(entry: InstrumentEntry, context: BuildContext, *, noise_modes: bool) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    return PurePhotonicsPPCL550(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=ITLA_LINE, timeout_s=_EXCHANGE_S),
        clock=context.clock,
        settings=own_settings(ItlaSettings(), entry),
        noise_modes=noise_modes,
        simulated=context.simulated,
    )


_SETTINGS: Final = {
    "tune_timeout_s": "longest time in s that the module may need to start or to tune (60)"
}
_PURE_PHOTONICS = LaserLimits(
    power_w=Range(lowest=5.02e-3, highest=22.3e-3),
    wavelength_m=Range(lowest=1528e-9, highest=1565e-9),
)
"""7.01 to 13.48 dBm and the C band: what every part reaches."""
_ANY_MAKER = LaserLimits(
    power_w=Range(lowest=0.1e-3, highest=63e-3),
    wavelength_m=Range(lowest=1260e-9, highest=1625e-9),
)
"""Outer bounds; the module's own limits are asked and hold."""

MODELS = (
    *(
        DriverModel(
            model=f"Pure Photonics {name}",
            backend="serial",
            kind=Laser,
            limits=_PURE_PHOTONICS,
            make=partial(_laser, noise_modes=True),
            confidence="high",
            identity=rf".*,.*{name}",
            source="Pure Photonics, Tunable laser command structure; OIF-ITLA-MSA-01.3",
            serial=ITLA_LINE,
            probe=_probe,
            settings=_SETTINGS,
        )
        for name in ("PPCL500", "PPCL550", "PPCL700")
    ),
    DriverModel(
        model="OIF ITLA",
        backend="serial",
        kind=Laser,
        limits=_ANY_MAKER,
        make=partial(_laser, noise_modes=False),
        confidence="medium-high",
        source="OIF-ITLA-MSA-01.3",
        serial=ITLA_LINE,
        probe=_probe,
        settings=_SETTINGS,
    ),
)
