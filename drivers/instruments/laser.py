"""The instrument kind laser: a continuous, tunable source with a power set point."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range

__all__ = ["Laser", "LaserLimits"]


@dataclass(frozen=True, kw_only=True)
class LaserLimits:
    """What a laser may be set to.

    Attributes:
        power_w: Set point of the output power in W.
        wavelength_m: Vacuum wavelength in m.
    """

    power_w: Range
    wavelength_m: Range


class Laser(Instrument):
    """A laser. Safe state: emission off.

    Power and wavelength are set points: they can be set and are read back with the emission off.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "laser"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("emission",)
    power_tolerance: ClassVar[float] = 0.02
    """Largest relative difference between the power set and the one read back."""
    wavelength_tolerance_m: ClassVar[float] = 1e-12
    """Largest difference in m between the wavelength set and the one read back."""

    def __init__(self, name: str, *, limits: LaserLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> LaserLimits:
        """What may be set."""
        return self._limits

    @final
    def set_power(self, power_w: float) -> None:
        """Set the output power in W.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: The laser reads back another power; the emission is off.
            InstrumentError: The laser is closed.
        """
        self._limits.power_w.check(self._name, "power", "W", power_w)
        with self._setting(f"set power {power_w} W"):
            self._set_kept(
                "power",
                f"{power_w:.6g} W",
                partial(self._set_power, power_w),
                partial(self._confirm_power, power_w),
            )

    @final
    def power_w(self) -> float:
        """The set point of the power in W, as the laser reads it back.

        Raises:
            InstrumentError: The laser is closed.
        """
        with self._held("power?"):
            return self._get_power()

    @final
    def set_wavelength(self, wavelength_m: float) -> None:
        """Set the vacuum wavelength in m. Most lasers then need time: `wait_settled`.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: The laser reads back another wavelength; the emission is off.
            InstrumentError: The laser is closed.
        """
        self._limits.wavelength_m.check(self._name, "wavelength", "m", wavelength_m)
        with self._setting(f"set wavelength {wavelength_m} m"):
            self._set_kept(
                "wavelength",
                f"{wavelength_m:.12g} m",
                partial(self._set_wavelength, wavelength_m),
                partial(self._confirm_wavelength, wavelength_m),
            )

    @final
    def wavelength_m(self) -> float:
        """The set point of the vacuum wavelength in m, as the laser reads it back.

        Raises:
            InstrumentError: The laser is closed.
        """
        with self._held("wavelength?"):
            return self._get_wavelength()

    @final
    def set_emission(self, on: bool) -> None:
        """Switch the light on or off.

        Raises:
            ReadbackError: The laser reads back the other state; switching it off was tried.
            InstrumentError: The laser is closed.
        """
        with self._setting(f"set emission {'on' if on else 'off'}"):
            self._set_kept(
                "emission",
                "on" if on else "off",
                partial(self._set_emission, on),
                partial(self._confirm_emission, on),
            )

    @final
    def emission(self) -> bool:
        """Whether the laser emits, by readback.

        Raises:
            InstrumentError: The laser is closed.
        """
        with self._held("emission?"):
            return self._get_emission()

    @final
    def is_settled(self) -> bool:
        """Whether power and wavelength are stable at their set points.

        Raises:
            InstrumentError: The laser is closed.
        """
        with self._held("settled?"):
            return self._is_settled()

    @final
    def wait_settled(self, timeout_s: float) -> None:
        """Wait until the laser is settled. Others may use it meanwhile.

        Raises:
            LimitError: The timeout is NaN, infinite or negative.
            InstrumentError: Not settled within `timeout_s`, or closed.
        """
        self._wait("settling of power and wavelength", self.is_settled, timeout_s)

    @final
    def interlock_closed(self) -> bool | None:
        """Whether its interlock allows light, by readback; None where it cannot say.

        The interlock is hardware and acts by itself. The bench asks so as to stay dark once it has
        opened, until an operator allows light again.

        Raises:
            InstrumentError: The laser is closed.
        """
        with self._held("interlock?"):
            return self._get_interlock()

    def _confirm_power(self, power_w: float) -> None:
        tolerance_w = self.power_tolerance * power_w
        self._confirm("power", "W", power_w, self._get_power(), tolerance_w)

    def _confirm_wavelength(self, wavelength_m: float) -> None:
        found_m = self._get_wavelength()
        self._confirm("wavelength", "m", wavelength_m, found_m, self.wavelength_tolerance_m)

    def _confirm_emission(self, on: bool) -> None:
        self._confirm_state("emission", on, self._get_emission())

    def _get_interlock(self) -> bool | None:
        """Whether the interlock is closed; None where the instrument cannot be asked."""
        return None

    def _make_safe(self) -> None:
        self._set_emission(False)

    def _is_safe(self) -> bool:
        return not self._get_emission()

    @abstractmethod
    def _set_power(self, power_w: float) -> None: ...

    @abstractmethod
    def _get_power(self) -> float: ...

    @abstractmethod
    def _set_wavelength(self, wavelength_m: float) -> None: ...

    @abstractmethod
    def _get_wavelength(self) -> float: ...

    @abstractmethod
    def _set_emission(self, on: bool) -> None: ...

    @abstractmethod
    def _get_emission(self) -> bool: ...

    @abstractmethod
    def _is_settled(self) -> bool: ...
