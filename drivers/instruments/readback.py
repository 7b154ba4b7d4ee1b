"""Comparing what was set with what is read back."""

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ReadbackError

__all__ = ["Readback"]


class Readback:
    """The comparisons of an instrument; a mix-in. NaN never agrees with anything."""

    _name: str

    def _confirm(
        self, quantity: str, unit: str, asked: float, got: float, tolerance: float
    ) -> None:
        """Raise ReadbackError unless `got` is within `tolerance` of `asked`; NaN never is."""
        if not abs(got - asked) <= tolerance:
            raise ReadbackError(
                f"{self._name}: {quantity} was set to {asked} {unit} but reads back as {got} "
                f"{unit}, more than {tolerance} {unit} away; the setting was not applied"
            )

    def _confirm_all(
        self,
        quantity: str,
        unit: str,
        asked: NDArray[np.float64],
        got: NDArray[np.float64],
        tolerance: float,
    ) -> None:
        """Confirm a vector, shape (n,), element by element."""
        if got.shape != asked.shape:
            raise ReadbackError(
                f"{self._name}: {quantity} were set with shape {asked.shape} but read back with "
                f"shape {got.shape}; the driver and the instrument disagree on the channels"
            )
        for index, (one_asked, one_got) in enumerate(zip(asked, got, strict=True)):
            self._confirm(f"{quantity}[{index}]", unit, float(one_asked), float(one_got), tolerance)

    def _confirm_state(self, quantity: str, asked: object, got: object) -> None:
        """Raise ReadbackError unless `got` equals `asked`."""
        if got != asked:
            raise ReadbackError(
                f"{self._name}: {quantity} was set to {asked} but reads back as {got}; "
                "the setting was not applied"
            )
