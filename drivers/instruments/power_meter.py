"""The instrument kind power meter: an optical power meter at a known wavelength."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from drivers.errors import InstrumentError, LimitError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range, check_not_negative

__all__ = ["PowerMeter", "PowerMeterLimits"]


@dataclass(frozen=True, kw_only=True)
class PowerMeterLimits:
    """What a power meter can measure.

    Attributes:
        wavelength_m: Vacuum wavelength in m that the responsivity is known for.
        power_w: Power in W, from the smallest that is more than noise to the highest that is
            measured rightly.
    """

    wavelength_m: Range
    power_w: Range


class PowerMeter(Instrument):
    """A power meter. It emits nothing and lets nothing pass: every state is safe.

    Args:
        name: Role in the bench.
        limits: What can be measured.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "power meter"
    wavelength_tolerance_m: ClassVar[float] = 1e-9
    """Largest difference in m between the wavelength set and the one read back."""
    averaging_tolerance: ClassVar[float] = 0.5
    """Largest relative difference between the averaging set and applied: meters have steps."""

    def __init__(self, name: str, *, limits: PowerMeterLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> PowerMeterLimits:
        """What can be measured."""
        return self._limits

    @final
    def set_wavelength(self, wavelength_m: float) -> None:
        """Tell the meter the vacuum wavelength in m, which its responsivity depends on.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: Another wavelength is read back.
            InstrumentError: The meter is closed.
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
        """The vacuum wavelength in m that the meter assumes, by readback.

        Raises:
            InstrumentError: The meter is closed.
        """
        with self._held("wavelength?"):
            return self._get_wavelength()

    @final
    def set_averaging(self, duration_s: float) -> None:
        """Set the time in s that one reading averages over.

        Raises:
            LimitError: NaN, infinite or negative; nothing was sent.
            ReadbackError: A very different time is read back.
            InstrumentError: The meter is closed.
        """
        check_not_negative(self._name, "averaging", "s", duration_s)
        with self._setting(f"set averaging {duration_s} s"):
            self._set_kept(
                "averaging",
                f"{duration_s:.6g} s",
                partial(self._set_averaging, duration_s),
                partial(self._confirm_averaging, duration_s),
            )

    @final
    def power_w(self) -> float:
        """One reading in W. Noise may make a dark reading negative.

        Raises:
            LimitError: The reading is above the highest power that is measured rightly.
            InstrumentError: The reading is not a finite number, or the meter is closed.
        """
        with self._held("power?"):
            power_w = self._get_power()
        highest_w = self._limits.power_w.highest
        if power_w > highest_w:
            raise LimitError(
                f"{self._name}: the power reads {power_w} W, above the highest that is measured "
                f"rightly, {highest_w} W; attenuate the light"
            )
        if not math.isfinite(power_w):
            raise InstrumentError(
                f"{self._name}: the power reads {power_w} W, not a finite number; check the sensor "
                "and its range"
            )
        return power_w

    @final
    def zero(self) -> None:
        """Take the present reading as dark. The light must be off: the meter cannot know.

        Raises:
            InstrumentError: The meter is closed.
        """
        with self._setting("zero"):
            self._zero()

    def _confirm_wavelength(self, wavelength_m: float) -> None:
        found_m = self._get_wavelength()
        self._confirm("wavelength", "m", wavelength_m, found_m, self.wavelength_tolerance_m)

    def _confirm_averaging(self, duration_s: float) -> None:
        tolerance_s = self.averaging_tolerance * duration_s
        self._confirm("averaging", "s", duration_s, self._get_averaging(), tolerance_s)

    def _make_safe(self) -> None:
        return

    def _is_safe(self) -> bool:
        return True

    @abstractmethod
    def _set_wavelength(self, wavelength_m: float) -> None: ...

    @abstractmethod
    def _get_wavelength(self) -> float: ...

    @abstractmethod
    def _set_averaging(self, duration_s: float) -> None: ...

    @abstractmethod
    def _get_averaging(self) -> float: ...

    @abstractmethod
    def _get_power(self) -> float: ...

    @abstractmethod
    def _zero(self) -> None: ...
