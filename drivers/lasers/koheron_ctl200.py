"""Koheron CTL200: a current and temperature controller with a laser diode that you put on it.

Source: Koheron CTL200 command list, and the open drivers with recorded dialogues.

The controller knows currents and ohms, no powers and no wavelengths. Both come from the diode's
data sheet by the settings of the bench file, and are as good as these numbers:

* Power: slope_w_per_a times the current above threshold_a. Nothing here measures light; ageing,
  temperature and the coupling to the fibre are not in it. Let a power meter watch.
* Wavelength without thermistor data: `wavelength_m` of the settings, the only one that is accepted.
  It is the bench file's statement and not a reading; the temperature is left as it is stored.
* Wavelength with thermistor data: the temperature is moved, R(T) = R0 exp(B (1/T - 1/T0)) (first
  order of Steinhart and Hart, Deep-Sea Research 15, 497 (1968)), and with it the wavelength,
  wavelength_m + tuning_m_per_k (T - T0). What is read back is the set point of the temperature. The
  shift with the current, some pm per mA, is not in it.

Switching on starts the temperature control first and waits until the temperature is reached; it
stays on until the driver is closed. The controller's current limit is set to `max_current_a` where
it is higher.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.koheron_console import ALL, KoheronConsole
from drivers.errors import ConfigurationError, InstrumentError, LimitError
from drivers.instruments import Clock, Identity, Instrument, Laser, LaserLimits, Range
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["MODELS", "Ctl200Settings", "KoheronCTL200", "diode_limits"]

_LINE = SerialSettings(baud=115200)
_ZERO_CELSIUS_K = 273.15
_REACHED = 0.01
"""Relative error of the thermistor (0.2 K) at which the laser may be switched on."""
_SETTLED = 5e-4
"""The same (about 10 mK) at which its wavelength counts as settled."""
_INTERLOCK = 1 << 6 | 1 << 7
"""Errors: light refused because of the interlock, interlock triggered."""
_POLL_S = 0.2
_STATUS = 8
_THERMISTOR = 4


@dataclass(frozen=True, kw_only=True)
class Ctl200Settings:
    """The diode on the controller, from its data sheet.

    Args:
        slope_w_per_a: power per current above the threshold, above 0.
        threshold_a: threshold current, at least 0.
        max_current_a: highest current that the diode stands, above the threshold.
        wavelength_m: at the reference temperature, above 0.
        thermistor_ohm: R0, resistance at the reference temperature; 0 where the wavelength shall
            not be tuned.
        temperature_c: T0, the reference temperature.
        beta_k: B of the thermistor; 0 where the wavelength shall not be tuned.
        tuning_m_per_k: wavelength per temperature; 0 where it shall not be tuned.
        tec_timeout_s: longest time to reach a temperature before the laser is switched on.
    """

    slope_w_per_a: float = 0.0
    threshold_a: float = 0.0
    max_current_a: float = 0.0
    wavelength_m: float = 0.0
    thermistor_ohm: float = 0.0
    temperature_c: float = 25.0
    beta_k: float = 0.0
    tuning_m_per_k: float = 0.0
    tec_timeout_s: float = 60.0

    @property
    def tunable(self) -> bool:
        """Whether the wavelength can be moved by the temperature."""
        return bool(self.thermistor_ohm and self.beta_k and self.tuning_m_per_k)

    def current_a(self, power_w: float) -> float:
        """The current for a power."""
        return self.threshold_a + power_w / self.slope_w_per_a

    def power_w(self, current_a: float) -> float:
        """The power at a current; a diode below its threshold gives none."""
        return max(0.0, self.slope_w_per_a * (current_a - self.threshold_a))

    def resistance_ohm(self, wavelength_m: float) -> float:
        """The thermistor's resistance at the temperature for a wavelength."""
        reference_k = self.temperature_c + _ZERO_CELSIUS_K
        wanted_k = reference_k + (wavelength_m - self.wavelength_m) / self.tuning_m_per_k
        return self.thermistor_ohm * math.exp(self.beta_k * (1 / wanted_k - 1 / reference_k))

    def wavelength_at_m(self, resistance_ohm: float) -> float:
        """The wavelength at the temperature of a thermistor's resistance."""
        reference_k = self.temperature_c + _ZERO_CELSIUS_K
        inverse = 1 / reference_k + math.log(resistance_ohm / self.thermistor_ohm) / self.beta_k
        return self.wavelength_m + self.tuning_m_per_k * (1 / inverse - reference_k)


def diode_limits(settings: Ctl200Settings, limits: LaserLimits) -> LaserLimits:
    """What a diode can be set to.

    Args:
        settings: the diode.
        limits: of the bench.

    Raises:
        ConfigurationError: the diode's numbers are missing, contradict each other, or leave
            nothing within the limits.
    """
    for name in ("slope_w_per_a", "max_current_a", "wavelength_m"):
        if not 0 < getattr(settings, name) < math.inf:
            raise ConfigurationError(
                f"settings.{name} is {getattr(settings, name)}; copy it from the diode's data "
                "sheet: the controller does not know its diode"
            )
    if not 0 <= settings.threshold_a < settings.max_current_a:
        raise ConfigurationError(
            f"settings.threshold_a is {settings.threshold_a} A; it must be at least 0 and below "
            f"max_current_a of {settings.max_current_a} A"
        )
    data = (settings.thermistor_ohm, settings.beta_k, settings.tuning_m_per_k)
    if any(data) and not settings.tunable:
        raise ConfigurationError(
            "settings.thermistor_ohm, beta_k and tuning_m_per_k belong together; give all three, "
            "or none for a diode of one wavelength"
        )
    highest_w = min(limits.power_w.highest, settings.power_w(settings.max_current_a))
    if highest_w < limits.power_w.lowest or settings.wavelength_m not in limits.wavelength_m:
        raise ConfigurationError(
            f"the diode gives at most {settings.power_w(settings.max_current_a):.3g} W at "
            f"{settings.wavelength_m} m; the limits are {limits.power_w.lowest} to "
            f"{limits.power_w.highest} W and {limits.wavelength_m.lowest} to "
            f"{limits.wavelength_m.highest} m: correct the settings or the limits"
        )
    power = Range(lowest=limits.power_w.lowest, highest=highest_w)
    if settings.tunable:
        return replace(limits, power_w=power)
    only = Range(lowest=settings.wavelength_m, highest=settings.wavelength_m)
    return LaserLimits(power_w=power, wavelength_m=only)


class KoheronCTL200(Wired, Laser):
    """A laser diode on its controller. See the module's text for what its numbers mean.

    Args:
        name: role in the bench.
        limits: of the bench; the diode narrows them, see `diode_limits`.
        link: to the controller.
        clock: for polling.
        settings: the diode.
        simulated: whether an emulator answers.

    Raises:
        ConfigurationError: the diode's numbers are missing, or do not suit the limits.
    """

    safe_deadline_s: ClassVar[float] = 0.5
    poll_interval_s: ClassVar[float] = 0.05

    def __init__(
        self,
        name: str,
        *,
        limits: LaserLimits,
        link: Link,
        clock: Clock | None = None,
        settings: Ctl200Settings,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=diode_limits(settings, limits), clock=clock)
        self._wire(link, simulated=simulated)
        self._diode = settings
        self._console = KoheronConsole(name, link)
        self._highest_ma = 0.0
        self._window_ohm = (0.0, 0.0)
        self._started_cooling = False

    def _greet(self) -> Identity:
        self._console.clear()
        found = _identity(self.name, self._console)
        self._highest_ma = self._console.number("ilmax")
        allowed_ma = 1e3 * self._diode.max_current_a
        if self._highest_ma > allowed_ma:
            self._console.order("ilmax", f"{allowed_ma:.3f}")
            self._highest_ma = self._console.number("ilmax")
        self._window_ohm = (self._console.number("rtmin"), self._console.number("rtmax"))
        return found

    def _farewell(self) -> None:
        if self._started_cooling:
            self._console.order("tecon", "0")
            self._started_cooling = False

    def _set_power(self, power_w: float) -> None:
        current_ma = 1e3 * self._diode.current_a(power_w)
        if current_ma > self._highest_ma:
            raise LimitError(
                f"{self.name}: power {power_w} W needs {current_ma:.3f} mA, above the controller's "
                f"limit of {self._highest_ma:.3f} mA (ilmax); choose a lower power, or raise the "
                "limit if the diode allows it"
            )
        self._console.order("ilaser", f"{current_ma:.3f}")

    def _get_power(self) -> float:
        return self._diode.power_w(1e-3 * self._console.number("ilaser"))

    def _set_wavelength(self, wavelength_m: float) -> None:
        if not self._diode.tunable:
            return  # the limits let the diode's own wavelength pass and no other
        wanted_ohm = self._diode.resistance_ohm(wavelength_m)
        low, high = self._window_ohm
        if not low <= wanted_ohm <= high:
            raise LimitError(
                f"{self.name}: wavelength {wavelength_m} m needs a thermistor of "
                f"{wanted_ohm:.1f} ohm, outside the controller's window of {low:.1f} to "
                f"{high:.1f} ohm (rtmin, rtmax); choose a wavelength nearer to "
                f"{self._diode.wavelength_m} m"
            )
        self._console.order("rtset", f"{wanted_ohm:.3f}")

    def _get_wavelength(self) -> float:
        if not self._diode.tunable:
            return self._diode.wavelength_m
        resistance_ohm = self._console.number("rtset")
        if resistance_ohm <= 0:
            raise garbled("a resistance above 0 ohm", str(resistance_ohm).encode())
        return self._diode.wavelength_at_m(resistance_ohm)

    def _set_emission(self, on: bool) -> None:
        if not on:
            self._console.order("lason", "0")
            return
        self._reach_temperature()
        self._console.clear()  # of interlocks and temperatures that are past
        self._console.order("lason", "1", watched=ALL)

    def _get_emission(self) -> bool:
        return self._console.number("lason") != 0

    def _get_interlock(self) -> bool | None:
        """Whether it has opened, or refused light, since the errors were cleared.

        They are when the laser is opened or switched on; the contact itself cannot be asked.
        """
        return False if self._console.errors() & _INTERLOCK else None

    def _is_settled(self) -> bool:
        status = self._console.numbers("status", _STATUS)
        return status[0] != 0 and self._is_reached(status[_THERMISTOR], _SETTLED)

    def _reach_temperature(self) -> None:
        """Let the temperature control work before there is a current."""
        if not self._console.number("tecon"):
            self._console.order("tecon", "1")
            self._started_cooling = True
        until_s = self._clock.now() + self._diode.tec_timeout_s
        while not self._is_reached(self._console.number("rtact"), _REACHED):
            if self._clock.now() >= until_s:
                raise InstrumentError(
                    f"{self.name}: the thermistor did not come within {_REACHED:.0%} of its set "
                    f"point in {self._diode.tec_timeout_s:g} s; the laser stays off. Look at the "
                    "TEC and its loop gains, or allow more in settings.tec_timeout_s"
                )
            self._clock.sleep(_POLL_S)

    def _is_reached(self, present_ohm: float, share: float) -> bool:
        wanted_ohm = self._console.number("rtset")
        return abs(present_ohm - wanted_ohm) <= share * wanted_ohm


def _identity(name: str, console: KoheronConsole) -> Identity:
    """Who answers, if it is a CTL200; it does not say who made it."""
    found = Identity(
        maker="Koheron",
        model=console.query("model"),
        serial=console.query("serial"),
        firmware=console.query("version"),
    )
    refuse_stranger(name, found, "Koheron,CTL200", "Koheron CTL200")
    return found


def _probe(link: Link) -> Identity:
    return _identity(link.address, KoheronConsole(link.address, link))


def _laser(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, LaserLimits)
    return KoheronCTL200(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=_LINE, timeout_s=1.0),
        clock=context.clock,
        settings=own_settings(Ctl200Settings(), entry),
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Koheron CTL200",
        backend="serial",
        kind=Laser,
        limits=LaserLimits(
            power_w=Range(lowest=0.1e-3, highest=0.5),
            wavelength_m=Range(lowest=1200e-9, highest=1700e-9),
        ),
        make=_laser,
        confidence="high",
        identity="Koheron,CTL200",
        source="Koheron CTL200 command list",
        serial=_LINE,
        probe=_probe,
        settings={
            "slope_w_per_a": "slope of the diode in W/A (needed)",
            "threshold_a": "threshold current of the diode in A (0)",
            "max_current_a": "highest current of the diode in A (needed)",
            "wavelength_m": "wavelength at the reference temperature in m (needed)",
            "thermistor_ohm": "thermistor at the reference temperature in ohm; 0: not tuned (0)",
            "temperature_c": "the reference temperature in degrees Celsius (25)",
            "beta_k": "beta constant of the thermistor in K; 0: not tuned (0)",
            "tuning_m_per_k": "wavelength per temperature in m/K; 0: not tuned (0)",
            "tec_timeout_s": "longest time to reach a temperature in s (60)",
        },
    ),
)
