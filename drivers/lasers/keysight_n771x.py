"""Keysight N7711A and N7714A tunable lasers.

Source: Keysight N77xx Series Programming Guide, 7th edition, SOURce and OUTPut commands. The
channel in a bench file is the port of the box. The lasers are used in the mode "auto", in which
every wavelength can be set, and without the dither that suppresses Brillouin scattering, which
would broaden the line.
"""

from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.bench.units import si_from_dbm
from drivers.catalogue import DriverModel
from drivers.dialects.keysight_n77xx import N77xx, as_argument
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.settings import NoSettings, own_settings
from drivers.transports.wired import Wired

__all__ = ["MODELS", "KeysightN771x"]

_LIMITS = LaserLimits(
    power_w=Range(lowest=5e-3, highest=20e-3),
    wavelength_m=Range(lowest=1528e-9, highest=1565e-9),
)


class KeysightN771x(Wired, Laser):
    """One laser of a box.

    A box that refuses a set point says so: the four options of the box differ in their bands.

    Args:
        name: role in the bench.
        limits: what may be set.
        link: to the box.
        clock: for polling.
        channel: port of the box.
        simulated: whether an emulator answers.
    """

    safe_deadline_s: ClassVar[float] = 1.0
    poll_interval_s: ClassVar[float] = 0.05

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        channel: int = 1,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._port = channel
        self._source = f":SOUR{channel}"
        self._box = N77xx(name, link, self._clock, "N771[14]A")

    def _greet(self) -> Identity:
        return self._box.greet()

    def _set_power(self, power_w: float) -> None:
        self._box.scpi.set(
            f"{self._source}:POW:UNIT 1", f"{self._source}:POW {as_argument(power_w)}"
        )

    def _get_power(self) -> float:
        """The set point, whatever unit somebody chose at the panel."""
        unit, power = self._box.numbers(f"{self._source}:POW:UNIT?", f"{self._source}:POW?")
        return power if unit == 1 else si_from_dbm(power)

    def _set_wavelength(self, wavelength_m: float) -> None:
        self._box.scpi.set(
            f"{self._source}:WAV:AUTO 1", f"{self._source}:WAV {as_argument(wavelength_m)}"
        )

    def _get_wavelength(self) -> float:
        return self._box.scpi.number(f"{self._source}:WAV?")

    def _set_emission(self, on: bool) -> None:
        if on:
            self._box.scpi.set(f"{self._source}:MODU:INT OFF", f":OUTP{self._port} ON")
        else:
            self._box.scpi.set(f":OUTP{self._port} OFF")

    def _get_emission(self) -> bool:
        return self._box.scpi.flag(f":OUTP{self._port}?")

    def _is_settled(self) -> bool:
        return self._get_emission() and self._box.is_idle(self._port)


def _laser(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    own_settings(NoSettings(), entry)
    return KeysightN771x(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry),
        clock=context.clock,
        channel=entry.channel,
        simulated=context.simulated,
    )


MODELS = tuple(
    DriverModel(
        model=f"Keysight {name}",
        backend="visa",
        kind=Laser,
        limits=_LIMITS,
        make=_laser,
        confidence="high",
        identity=rf"(Keysight|Agilent) Technologies,{name}",
        channels=ports,
        source="Keysight N77xx Series Programming Guide, 7th edition",
    )
    for name, ports in (("N7711A", 1), ("N7714A", 4))
)
