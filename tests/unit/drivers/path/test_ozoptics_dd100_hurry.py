"""The motor of the OZ Optics DD-100-MC when a bench must go dark and others wait."""

import pytest

from drivers.errors import SafetyError
from drivers.path.ozoptics_dd100 import OZOpticsDD100
from tests.wire.ozoptics_dd100 import makers


def test_motor_is_on_its_way_when_it_was_left_in_a_hurry_and_arrives_at_leisure() -> None:
    attenuator = makers()["ozoptics DD-100-MC"]()
    assert isinstance(attenuator, OZOpticsDD100)
    with attenuator:
        attenuator.set_attenuation_db(10.0)
        attenuator.set_shutter(True)
        begin_s = attenuator._clock.now()
        with pytest.raises(SafetyError, match="could not be made safe"):
            attenuator.make_safe(0.04)
        assert attenuator._clock.now() - begin_s < 0.05
        attenuator.make_safe()
        assert attenuator.is_safe()
        # Once the way: the order was not given anew from the beginning.
        assert attenuator._clock.now() - begin_s < 3.5
