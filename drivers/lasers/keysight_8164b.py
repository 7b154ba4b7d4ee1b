"""Keysight N7776C and N7778C, and tunable laser modules in an 8164B mainframe; experimental.

Source: pymeasure's driver of the N7776C, LabExT's driver of the mainframes, and pages of the
Keysight 8163A/B, 8164A/B and 8166A/B programming guide. The channel in a bench file is the slot
plus one: channel 1 is slot 0, where the large lasers are. The amplitude modulation, to which
coherence control belongs, is switched off with every switching on.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.bench.units import si_from_dbm
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_n77xx import as_argument
from drivers.dialects.own_limits import refuse_beyond_own
from drivers.errors import ConfigurationError, InstrumentError
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.scpi import Scpi
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["MODELS", "Keysight8164B", "Keysight8164BSettings"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=1e-3, highest=10e-3), wavelength_m=Range(lowest=1480e-9, highest=1620e-9)
)
_MOVE_S = 10.0
"""Time for the answer to `*OPC?`: by one driver it comes only when a move is over."""


@dataclass(frozen=True, kw_only=True)
class Keysight8164BSettings:
    """What the laser is told.

    Args:
        lock_password: of the laser safety lock, digits only; with one, the lock is opened when
            the laser is switched on. Empty leaves the lock to people.
    """

    lock_password: str = ""

    def __post_init__(self) -> None:
        if self.lock_password and not (
            self.lock_password.isascii() and self.lock_password.isdigit()
        ):
            raise ConfigurationError("lock_password must be digits, such as 1234, or empty")


class Keysight8164B(Wired, Laser):
    """A tunable laser in a slot.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the box.
        clock: for polling.
        channel: the slot plus one.
        models: regular expression for the models that may answer.
        settings: what the laser is told.
        simulated: whether an emulator answers.
    """

    safe_deadline_s: ClassVar[float] = 2.0
    poll_interval_s: ClassVar[float] = 0.1

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        models: str = "N777[68]C|8164[AB]",
        settings: Keysight8164BSettings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._source = f":SOUR{channel - 1}"
        self._models = models
        self._settings = Keysight8164BSettings() if settings is None else settings
        self._scpi = Scpi(link, joined=False)
        self._own_m: tuple[float, float] | None = None

    def _greet(self) -> Identity:
        self._scpi.clear()
        identity = self._scpi.identity()
        pattern = rf"(Keysight|Agilent) Technologies,(?:{self._models})"
        refuse_stranger(self.name, identity, pattern, f"Keysight {self._models}")
        self._own_m = (
            self._scpi.number(f"{self._source}:WAV:SWE:STAR? MIN"),
            self._scpi.number(f"{self._source}:WAV:SWE:STOP? MAX"),
        )
        return identity

    def _set_power(self, power_w: float) -> None:
        self._scpi.set(f"{self._source}:POW:UNIT 1")
        self._scpi.set(f"{self._source}:POW {as_argument(power_w * 1e3)} mW")

    def _get_power(self) -> float:
        """The set point, whatever unit somebody chose at the panel."""
        in_watts = self._scpi.flag(f"{self._source}:POW:UNIT?")
        power = self._scpi.number(f"{self._source}:POW?")
        return power if in_watts else si_from_dbm(power)

    def _set_wavelength(self, wavelength_m: float) -> None:
        assert self._own_m is not None
        refuse_beyond_own(self.name, "wavelength", "m", wavelength_m, self._own_m)
        self._scpi.set(f"{self._source}:WAV {as_argument(wavelength_m * 1e9)}nm")

    def _get_wavelength(self) -> float:
        return self._scpi.number(f"{self._source}:WAV?")

    def _set_emission(self, on: bool) -> None:
        if on:
            self._open_lock()
            self._scpi.set(f"{self._source}:AM:STAT 0")
        self._scpi.set(f"{self._source}:POW:STAT {on:d}")

    def _open_lock(self) -> None:
        if not self._scpi.flag(":LOCK?"):
            return
        if not self._settings.lock_password:
            raise InstrumentError(
                f"{self.name}: the laser safety lock of the box is closed; open it at the box, or "
                f"put its password into instruments.{self.name}.settings.lock_password"
            )
        self._scpi.set(f":LOCK 0,{self._settings.lock_password}")

    def _get_emission(self) -> bool:
        return self._scpi.flag(f"{self._source}:POW:STAT?")

    def _is_settled(self) -> bool:
        return self._get_emission() and self._scpi.flag("*OPC?", _MOVE_S)


def _make(models: str, entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    return Keysight8164B(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, timeout_s=5.0),
        clock=context.clock,
        channel=entry.channel,
        models=models,
        settings=own_settings(Keysight8164BSettings(), entry),
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Laser,
        limits=_LIMITS,
        make=partial(_make, pattern),
        confidence="medium",
        identity=rf"(Keysight|Agilent) Technologies,{pattern}",
        channels=channels,
        source="pymeasure's and LabExT's drivers, pages of the 816x programming guide",
        settings={"lock_password": "of the laser safety lock; empty leaves it to people ()"},
    )
    for name, pattern, channels in (
        ("8164B laser", "8164[AB]", 5),
        ("N7776C", "N7776C", 1),
        ("N7778C", "N7778C", 1),
    )
)
