"""The instrument kind polarisation controller: retarders with an angle or retardance each."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range, check_count, check_vector

__all__ = ["PolarisationController", "PolarisationLimits"]


@dataclass(frozen=True, kw_only=True)
class PolarisationLimits:
    """What a polarisation controller may be set to.

    Attributes:
        channels: Number of retarders.
        angle_rad: Angle or retardance in rad of each.

    Raises:
        ConfigurationError: No channel.
    """

    channels: int
    angle_rad: Range

    def __post_init__(self) -> None:
        check_count("polarisation controller", "channels", self.channels)


class PolarisationController(Instrument):
    """A polarisation controller. It turns light and never adds any: every state is safe.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "polarisation controller"
    turns_axes: ClassVar[bool] = False
    """Whether an angle is that of a wave plate's axis, as of a paddle; else it is the retardance of
    a retarder whose axis stands still, as of a squeezer."""
    angle_tolerance_rad: ClassVar[float] = 0.01
    """Largest difference in rad between an angle set and the one read back."""

    def __init__(
        self, name: str, *, limits: PolarisationLimits, clock: Clock | None = None
    ) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> PolarisationLimits:
        """What may be set."""
        return self._limits

    @final
    def set_angles(self, rad: NDArray[np.float64]) -> None:
        """Set all retarders.

        Args:
            rad: Angles in rad, float64, shape (channels,).

        Raises:
            LimitError: Wrong shape or type, or a value is NaN or outside the limits; nothing was
                sent.
            ReadbackError: Another angle is read back.
            InstrumentError: The controller is closed.
        """
        check_vector(self._name, "angles", rad, np.float64, self._limits.channels)
        self._limits.angle_rad.check_all(self._name, "angles", "rad", rad)
        with self._setting(f"set {len(rad)} angles"):
            asked = rad.copy()
            self._set_kept(
                "angles",
                f"{[round(float(one), 4) for one in asked]} rad",
                lambda: self._set_angles(asked.copy()),
                partial(self._confirm_angles, asked),
            )

    @final
    def angles(self) -> NDArray[np.float64]:
        """The angles in rad, shape (channels,), by readback.

        Raises:
            InstrumentError: The controller is closed.
        """
        with self._held("angles?"):
            return self._get_angles()

    def _confirm_angles(self, rad: NDArray[np.float64]) -> None:
        self._confirm_all("angles", "rad", rad, self._get_angles(), self.angle_tolerance_rad)

    def _make_safe(self) -> None:
        return

    def _is_safe(self) -> bool:
        return True

    @abstractmethod
    def _set_angles(self, rad: NDArray[np.float64]) -> None: ...

    @abstractmethod
    def _get_angles(self) -> NDArray[np.float64]: ...
