"""The instrument kind phase driver: the voltages of an interferometer mesh's phase shifters."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range, check_count, check_holds_zero, check_vector

__all__ = ["PhaseDriver", "PhaseDriverLimits"]


@dataclass(frozen=True, kw_only=True)
class PhaseDriverLimits:
    """What a phase driver may be set to.

    Attributes:
        channels: Number of phase shifters.
        volts: Voltage in V of each; holds the safe state, 0 V.

    Raises:
        ConfigurationError: No channel, or 0 V is not allowed.
    """

    channels: int
    volts: Range

    def __post_init__(self) -> None:
        check_count("phase driver", "channels", self.channels)
        check_holds_zero("phase driver", "volts", "V", self.volts)


class PhaseDriver(Instrument):
    """A driver of many phase shifters. Safe state: 0 V on all.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "phase driver"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("voltages",)
    voltage_tolerance_v: ClassVar[float] = 0.01
    """Largest difference in V between a voltage set and the one read back."""

    def __init__(self, name: str, *, limits: PhaseDriverLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> PhaseDriverLimits:
        """What may be set."""
        return self._limits

    @final
    def set_voltages(self, volts: NDArray[np.float64]) -> None:
        """Set all voltages.

        Args:
            volts: V, float64, shape (channels,).

        Raises:
            LimitError: Wrong shape or type, or a value is NaN or outside the limits; nothing was
                sent.
            ReadbackError: Another voltage is read back; all are at 0 V.
            InstrumentError: The driver is closed.
        """
        check_vector(self._name, "volts", volts, np.float64, self._limits.channels)
        self._limits.volts.check_all(self._name, "volts", "V", volts)
        with self._setting(f"set {len(volts)} voltages"):
            asked = volts.copy()
            # The values stay out of messages: on a mesh they are somebody's secret.
            self._set_kept(
                "voltages",
                f"on {len(asked)} channels",
                lambda: self._set_voltages(asked.copy()),
                partial(self._confirm_voltages, asked),
            )

    @final
    def voltages(self) -> NDArray[np.float64]:
        """The voltages in V, shape (channels,), by readback.

        Raises:
            InstrumentError: The driver is closed.
        """
        with self._held("voltages?"):
            return self._get_voltages()

    def _confirm_voltages(self, volts: NDArray[np.float64]) -> None:
        self._confirm_all("volts", "V", volts, self._get_voltages(), self.voltage_tolerance_v)

    def _make_safe(self) -> None:
        self._set_voltages(np.zeros(self._limits.channels))

    def _is_safe(self) -> bool:
        return bool(np.all(np.abs(self._get_voltages()) <= self.voltage_tolerance_v))

    @abstractmethod
    def _set_voltages(self, volts: NDArray[np.float64]) -> None: ...

    @abstractmethod
    def _get_voltages(self) -> NDArray[np.float64]: ...
