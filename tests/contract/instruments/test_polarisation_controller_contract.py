"""What every polarisation controller must do."""

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drivers.errors import LimitError, ReadbackError
from drivers.instruments import PolarisationController
from tests.contract.instruments.common import (
    INSIDE,
    OUTSIDE,
    InstrumentContract,
    Setting,
    at,
    over,
    replace,
)
from tests.contract.instruments.implementations import POLARISATION_CONTROLLERS


def level(controller: PolarisationController, fraction: float) -> NDArray[np.float64]:
    """One angle on all channels."""
    return np.full(controller.limits.channels, at(controller.limits.angle_rad, fraction))


def with_last(controller: PolarisationController, rad: float) -> NDArray[np.float64]:
    """Good angles but for the last."""
    values = level(controller, 0.5)
    values[-1] = rad
    return values


class TestPolarisationControllerContract(InstrumentContract):
    kind = PolarisationController
    implementations = POLARISATION_CONTROLLERS
    always_safe = True
    sets: ClassVar = {
        "set_angles": Setting(
            call=lambda i: i.set_angles(level(i, 0.75)),
            vendor="_set_angles",
            prepare=lambda i: i.set_angles(level(i, 0.9)),
        )
    }
    queries: ClassVar = {"angles": lambda i: i.angles()}
    refused: ClassVar = {
        "one above": lambda i: i.set_angles(with_last(i, i.limits.angle_rad.highest + 0.001)),
        "one below": lambda i: i.set_angles(with_last(i, i.limits.angle_rad.lowest - 0.001)),
        "one NaN": lambda i: i.set_angles(with_last(i, math.nan)),
        "one infinite": lambda i: i.set_angles(with_last(i, -math.inf)),
        "too short": lambda i: i.set_angles(np.zeros(i.limits.channels - 1)),
        "too long": lambda i: i.set_angles(np.zeros(i.limits.channels + 1)),
        "two axes": lambda i: i.set_angles(np.zeros((1, i.limits.channels))),
        "float32": lambda i: i.set_angles(np.zeros(i.limits.channels, dtype=np.float32)),
    }
    rivals: ClassVar = (
        lambda i: i.set_angles(level(i, 0.75)),
        lambda i: i.set_angles(level(i, 0.9)),
    )

    def activate(self, instrument: PolarisationController) -> None:
        instrument.set_angles(level(instrument, 0.9))

    def state(self, instrument: PolarisationController) -> object:
        return instrument.angles().tolist()

    def test_angles_have_one_value_a_channel_when_opened(
        self, instrument: PolarisationController
    ) -> None:
        assert instrument.angles().shape == (instrument.limits.channels,)

    def test_angles_stay_when_made_safe(self, instrument: PolarisationController) -> None:
        instrument.set_angles(level(instrument, 0.75))
        instrument.make_safe()
        np.testing.assert_allclose(
            instrument.angles(), level(instrument, 0.75), atol=instrument.angle_tolerance_rad
        )

    def test_angles_stay_when_the_caller_changes_its_array(
        self, instrument: PolarisationController
    ) -> None:
        rad = level(instrument, 0.75)
        instrument.set_angles(rad)
        rad[:] = math.nan
        np.testing.assert_allclose(
            instrument.angles(), level(instrument, 0.75), atol=instrument.angle_tolerance_rad
        )

    def test_refusal_names_the_channel_when_one_is_nan(
        self, instrument: PolarisationController
    ) -> None:
        last = instrument.limits.channels - 1
        with pytest.raises(LimitError, match=rf"angles\[{last}\] is NaN"):
            instrument.set_angles(with_last(instrument, math.nan))

    def test_readback_is_refused_when_it_has_another_number_of_channels(
        self, instrument: PolarisationController
    ) -> None:
        rad = level(instrument, 0.75)
        replace(instrument, "_get_angles", lambda: rad[1:])
        with pytest.raises(ReadbackError, match="disagree on the channels"):
            instrument.set_angles(rad)
        del vars(instrument)["_get_angles"]


@over(POLARISATION_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_angles_read_back_when_anywhere_in_the_limits(
    make: Callable[[], PolarisationController], data: st.DataObject
) -> None:
    with make() as controller:
        channels = controller.limits.channels
        fractions = data.draw(st.lists(INSIDE, min_size=channels, max_size=channels))
        rad = np.array([at(controller.limits.angle_rad, fraction) for fraction in fractions])
        controller.set_angles(rad)
        np.testing.assert_allclose(
            controller.angles(), rad, rtol=0, atol=controller.angle_tolerance_rad
        )


@over(POLARISATION_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_angles_are_refused_and_kept_when_one_is_outside_the_limits(
    make: Callable[[], PolarisationController], fraction: float
) -> None:
    with make() as controller:
        before = controller.angles()
        with pytest.raises(LimitError):
            controller.set_angles(with_last(controller, at(controller.limits.angle_rad, fraction)))
        np.testing.assert_array_equal(controller.angles(), before)
