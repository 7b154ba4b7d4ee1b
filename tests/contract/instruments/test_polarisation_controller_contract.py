"""What every polarisation controller must do."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.instruments import PolarisationController
from tests.contract.instruments.common import OUTSIDE, over
from tests.contract.instruments.implementations import POLARISATION_CONTROLLERS
from tests.contract.instruments.vectors import (
    Vector,
    VectorContract,
    check_reads_back,
    check_refusal_keeps,
)

ANGLES = Vector(
    quantity="angles",
    set_="set_angles",
    get="angles",
    limits=lambda controller: controller.limits.angle_rad,
    tolerance=lambda controller: controller.angle_tolerance_rad,
)


class TestPolarisationControllerContract(VectorContract):
    kind = PolarisationController
    implementations = POLARISATION_CONTROLLERS
    always_safe = True
    vector = ANGLES
    sets: ClassVar = ANGLES.sets()
    queries: ClassVar = {"angles": ANGLES.take}
    refused: ClassVar = ANGLES.refused()
    rivals: ClassVar = ANGLES.rivals()

    def test_angles_stay_when_made_safe(self, instrument: PolarisationController) -> None:
        instrument.set_angles(ANGLES.level(instrument, 0.75))
        instrument.make_safe()
        np.testing.assert_allclose(
            instrument.angles(),
            ANGLES.level(instrument, 0.75),
            atol=instrument.angle_tolerance_rad,
        )


@over(POLARISATION_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_angles_read_back_when_anywhere_in_the_limits(
    make: Callable[[], PolarisationController], data: st.DataObject
) -> None:
    check_reads_back(ANGLES, make, data)


@over(POLARISATION_CONTROLLERS)
@settings(max_examples=25, deadline=None)
@given(fraction=OUTSIDE)
def test_angles_are_refused_and_kept_when_one_is_outside_the_limits(
    make: Callable[[], PolarisationController], fraction: float
) -> None:
    check_refusal_keeps(ANGLES, make, fraction)
