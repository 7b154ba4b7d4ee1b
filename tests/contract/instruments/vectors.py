"""What every instrument must do that is set by a vector, one value a channel."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import LimitError, ReadbackError
from drivers.instruments import Range
from tests.contract.instruments.common import INSIDE, InstrumentContract, Setting, at, replace

__all__ = ["Vector", "VectorContract", "check_reads_back", "check_refusal_keeps"]

Call = Callable[[Any], object]


@dataclass(frozen=True, kw_only=True)
class Vector:
    """How the vector is set and read.

    Attributes:
        quantity: its name in messages.
        set_: name of the method that sets it; the vendor's is the same with an underscore.
        get: name of the method that reads it; the vendor's begins with `_get_`.
        limits: of every value.
        tolerance: of the readback.
    """

    quantity: str
    set_: str
    get: str
    limits: Callable[[Any], Range]
    tolerance: Callable[[Any], float]

    def put(self, instrument: Any, values: NDArray[Any]) -> None:
        """Set it."""
        getattr(instrument, self.set_)(values)

    def take(self, instrument: Any) -> NDArray[np.float64]:
        """Read it."""
        values: NDArray[np.float64] = getattr(instrument, self.get)()
        return values

    def level(self, instrument: Any, fraction: float) -> NDArray[np.float64]:
        """One value on all channels, at a fraction of the limits."""
        return np.full(instrument.limits.channels, at(self.limits(instrument), fraction))

    def with_last(self, instrument: Any, value: float) -> NDArray[np.float64]:
        """Good values but for the last."""
        values = self.level(instrument, 0.5)
        values[-1] = value
        return values

    def sets(self) -> dict[str, Setting]:
        """For `InstrumentContract.sets`."""
        return {
            self.set_: Setting(
                call=lambda i: self.put(i, self.level(i, 0.75)),
                vendor=f"_{self.set_}",
                prepare=lambda i: self.put(i, self.level(i, 0.9)),
            )
        }

    def refused(self) -> dict[str, Call]:
        """For `InstrumentContract.refused`."""
        return {
            "one above": lambda i: self.put(i, self.with_last(i, self.limits(i).highest + 0.001)),
            "one below": lambda i: self.put(i, self.with_last(i, self.limits(i).lowest - 0.001)),
            "one NaN": lambda i: self.put(i, self.with_last(i, math.nan)),
            "one infinite": lambda i: self.put(i, self.with_last(i, -math.inf)),
            "too short": lambda i: self.put(i, np.zeros(i.limits.channels - 1)),
            "too long": lambda i: self.put(i, np.zeros(i.limits.channels + 1)),
            "two axes": lambda i: self.put(i, np.zeros((1, i.limits.channels))),
            "float32": lambda i: self.put(i, np.zeros(i.limits.channels, dtype=np.float32)),
        }

    def rivals(self) -> tuple[Call, Call]:
        """For `InstrumentContract.rivals`."""
        return (
            lambda i: self.put(i, self.level(i, 0.75)),
            lambda i: self.put(i, self.level(i, 0.9)),
        )


class VectorContract(InstrumentContract):
    """The suite of a kind that is set by a vector."""

    vector: ClassVar[Vector]

    def activate(self, instrument: Any) -> None:
        self.vector.put(instrument, self.vector.level(instrument, 0.9))

    def state(self, instrument: Any) -> object:
        return self.vector.take(instrument).tolist()

    def test_vector_has_one_value_a_channel_when_opened(self, instrument: Any) -> None:
        assert self.vector.take(instrument).shape == (instrument.limits.channels,)

    def test_values_stay_when_the_caller_changes_its_array(self, instrument: Any) -> None:
        values = self.vector.level(instrument, 0.75)
        self.vector.put(instrument, values)
        values[:] = math.nan
        np.testing.assert_allclose(
            self.vector.take(instrument),
            self.vector.level(instrument, 0.75),
            atol=self.vector.tolerance(instrument),
        )

    def test_refusal_names_the_channel_when_one_is_nan(self, instrument: Any) -> None:
        last = instrument.limits.channels - 1
        with pytest.raises(LimitError, match=rf"{self.vector.quantity}\[{last}\] is NaN"):
            self.vector.put(instrument, self.vector.with_last(instrument, math.nan))

    def test_readback_is_refused_when_it_has_another_number_of_channels(
        self, instrument: Any
    ) -> None:
        values, vendor = self.vector.level(instrument, 0.75), f"_get_{self.vector.get}"
        replace(instrument, vendor, lambda: values[1:])
        with pytest.raises(ReadbackError, match="disagree on the channels"):
            self.vector.put(instrument, values)
        del vars(instrument)[vendor]


def check_reads_back(vector: Vector, make: Callable[[], Any], data: st.DataObject) -> None:
    """Values anywhere in the limits read back."""
    with make() as instrument:
        channels, limits = instrument.limits.channels, vector.limits(instrument)
        fractions = data.draw(st.lists(INSIDE, min_size=channels, max_size=channels))
        values = np.array([at(limits, fraction) for fraction in fractions])
        vector.put(instrument, values)
        np.testing.assert_allclose(
            vector.take(instrument), values, rtol=0, atol=vector.tolerance(instrument)
        )


def check_refusal_keeps(vector: Vector, make: Callable[[], Any], fraction: float) -> None:
    """A value outside the limits is refused, and nothing changes."""
    with make() as instrument:
        before, wrong = vector.take(instrument), at(vector.limits(instrument), fraction)
        with pytest.raises(LimitError):
            vector.put(instrument, vector.with_last(instrument, wrong))
        np.testing.assert_array_equal(vector.take(instrument), before)
