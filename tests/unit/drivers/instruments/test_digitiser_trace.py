"""A trace is one record that nobody can change and that holds only numbers."""

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import TraceError
from drivers.instruments import Trace


def trace(volts: NDArray[np.float32]) -> Trace:
    return Trace(
        volts=volts,
        sample_rate_hz=1e6,
        range_v=1.0,
        step_v=1e-3,
        clipped=0,
        time_s=0.5,
        instrument="Paper digitiser 1 0.1",
        simulated=True,
    )


def test_trace_takes_an_array_over_and_locks_it_when_it_owns_its_memory() -> None:
    volts = np.ones((2, 8), dtype=np.float32)
    taken = trace(volts)
    assert taken.volts is volts
    with pytest.raises(ValueError, match="read-only"):
        volts[0, 0] = 2.0


def test_trace_copies_an_array_when_it_is_a_view_of_another() -> None:
    whole = np.ones((2, 8), dtype=np.float32)
    taken = trace(whole[:, ::2])
    whole[:] = 2.0
    np.testing.assert_array_equal(taken.volts, np.ones((2, 4)))
    with pytest.raises(ValueError, match="read-only"):
        taken.volts[0, 0] = 2.0
    whole[0, 0] = 3.0


def test_trace_cannot_be_given_another_array_when_made() -> None:
    taken = trace(np.ones((1, 4), dtype=np.float32))
    with pytest.raises(dataclasses.FrozenInstanceError):
        taken.volts = np.zeros((1, 4), dtype=np.float32)  # type: ignore[misc]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_trace_is_rejected_when_any_sample_is_no_number(value: float) -> None:
    volts = np.ones((2, 8), dtype=np.float32)
    volts[1, 5] = value
    with pytest.raises(TraceError, match="NaN or infinite"):
        trace(volts)


@pytest.mark.parametrize(
    "volts",
    [np.ones((2, 4)), np.ones(4, dtype=np.float32), np.ones((1, 2, 4), dtype=np.float32)],
    ids=["float64", "one axis", "three axes"],
)
def test_trace_is_rejected_when_type_or_shape_is_wrong(volts: NDArray[np.float32]) -> None:
    with pytest.raises(TraceError, match=r"\(channels, samples\) of float32, got"):
        trace(volts)
