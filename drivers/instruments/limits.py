"""Ranges, and the checks of arguments against them: refuse, never clip, name NaN.

Every check takes the device, the quantity and its unit, so that the message is complete.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from drivers.errors import ConfigurationError, LimitError

__all__ = ["Range", "check_channel", "check_not_negative", "check_vector"]


@dataclass(frozen=True, kw_only=True)
class Range:
    """A closed interval of allowed values, `lowest` <= `highest`, both finite.

    Raises:
        ConfigurationError: An end is not finite, or they are the wrong way round.
    """

    lowest: float
    highest: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lowest) and math.isfinite(self.highest)):
            raise ConfigurationError(
                f"range {self.lowest} to {self.highest}: both ends must be finite numbers"
            )
        if self.lowest > self.highest:
            raise ConfigurationError(
                f"range {self.lowest} to {self.highest}: the lowest value is above the highest; "
                "swap them"
            )

    def __contains__(self, value: float) -> bool:
        return self.lowest <= value <= self.highest

    def check(self, device: str, quantity: str, unit: str, value: float) -> None:
        """Refuse a value that is not in the range.

        Raises:
            LimitError: `value` is NaN, infinite or outside.
        """
        if value in self:
            return
        if math.isnan(value):
            raise LimitError(
                f"{device}: {quantity} is NaN (not a number); the limits are {self._text(unit)}. "
                "Find out where it comes from"
            )
        raise LimitError(
            f"{device}: {quantity} {value} {unit} is outside the limits {self._text(unit)}; "
            "choose a value inside them"
        )

    def check_all(
        self,
        device: str,
        quantity: str,
        unit: str,
        values: NDArray[np.float32] | NDArray[np.float64],
    ) -> None:
        """Refuse an array of which any element is not in the range; empty arrays pass.

        Raises:
            LimitError: An element is NaN, infinite or outside; the first such is named.
        """
        # min and max carry NaN on and need no temporary array as long as the waveform.
        if values.size == 0 or (values.min() in self and values.max() in self):
            return
        flat = values.reshape(-1)
        wrong = int(np.flatnonzero(~((flat >= self.lowest) & (flat <= self.highest)))[0])
        self.check(device, f"{quantity}[{wrong}]", unit, float(flat[wrong]))

    def narrowed(self, other: "Range") -> "Range":
        """`other`, which must lie inside this range: a bench may narrow limits, never widen them.

        Raises:
            ConfigurationError: `other` is not inside.
        """
        if other.lowest in self and other.highest in self:
            return other
        raise ConfigurationError(
            f"range {other.lowest} to {other.highest} is not inside {self.lowest} to "
            f"{self.highest}; limits can be narrowed, not widened"
        )

    def _text(self, unit: str) -> str:
        return f"{self.lowest} to {self.highest} {unit}"


def check_not_negative(device: str, quantity: str, unit: str, value: float) -> None:
    """Refuse a value that is NaN, infinite or negative.

    Raises:
        LimitError: It is.
    """
    if math.isnan(value):
        raise LimitError(
            f"{device}: {quantity} is NaN (not a number); it must be a finite number of {unit}, "
            "at least 0"
        )
    if not 0 <= value < math.inf:
        raise LimitError(
            f"{device}: {quantity} {value} {unit} must be a finite number, at least 0 {unit}"
        )


def check_channel(device: str, channel: int, channels: int) -> None:
    """Refuse a channel that is not one of 0 to `channels` - 1.

    Raises:
        LimitError: It is not.
    """
    if not 0 <= channel < channels:
        raise LimitError(
            f"{device}: there is no channel {channel}; the channels are 0 to {channels - 1}"
        )


def check_vector(
    device: str,
    quantity: str,
    values: NDArray[np.float32] | NDArray[np.float64],
    dtype: DTypeLike,
    length: int | None = None,
) -> None:
    """Refuse what is not a vector of `dtype`, or not of `length` where that is given.

    Raises:
        LimitError: Wrong type, number of axes or length; the message says what came.
    """
    wanted = f"({'n' if length is None else length},) of {np.dtype(dtype)}"
    if values.dtype != np.dtype(dtype) or values.ndim != 1:
        raise LimitError(
            f"{device}: {quantity} must have shape {wanted}, got {values.shape} of {values.dtype}; "
            "convert it first"
        )
    if length is not None and len(values) != length:
        raise LimitError(
            f"{device}: {quantity} must have shape {wanted}, got {values.shape}; "
            "give one value for each channel"
        )


def check_count(what: str, quantity: str, value: int) -> None:
    """Refuse limits that count fewer than one of something.

    Raises:
        ConfigurationError: `value` is below 1.
    """
    if value < 1:
        raise ConfigurationError(f"{what}: {quantity} is {value}; it must be at least 1")


def check_holds_zero(what: str, quantity: str, unit: str, limits: Range) -> None:
    """Refuse limits that the safe state, 0, is outside of.

    Raises:
        ConfigurationError: 0 is not in `limits`.
    """
    if 0.0 not in limits:
        raise ConfigurationError(
            f"{what}: {quantity} {limits.lowest} to {limits.highest} {unit} does not hold the safe "
            f"state 0 {unit}; widen it"
        )
