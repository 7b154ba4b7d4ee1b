"""Volts and amplitudes of a Mach-Zehnder modulator at its null."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import LimitError
from drivers.optics.modulation import (
    amplitude_from_volts,
    largest_amplitude,
    volts_from_amplitude,
)


def test_volts_are_those_of_the_sine_when_amplitudes_are_known() -> None:
    wanted = np.array([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=np.float32)
    found = volts_from_amplitude(wanted, 3.5)
    # sin(pi V / (2 V_pi)) = 1/2 at a third of V_pi.
    assert found == pytest.approx([-3.5, -3.5 / 3, 0.0, 3.5 / 3, 3.5], abs=1e-6)
    assert found.dtype == np.float32


@given(st.floats(-1, 1), st.floats(0.1, 10))
def test_amplitude_comes_back_when_volts_are_played(amplitude: float, v_pi_v: float) -> None:
    volts = volts_from_amplitude(np.array([amplitude], dtype=np.float32), v_pi_v)
    assert amplitude_from_volts(volts, v_pi_v)[0] == pytest.approx(amplitude, abs=1e-6)


@pytest.mark.parametrize("amplitude", [1.01, -1.01, math.nan], ids=["above", "below", "nan"])
def test_volts_are_refused_when_the_modulator_cannot_pass_so_much(amplitude: float) -> None:
    with pytest.raises(LimitError, match="relative amplitude"):
        volts_from_amplitude(np.array([0.0, amplitude], dtype=np.float32), 3.5)


def test_rounding_beyond_one_is_no_error() -> None:
    found = volts_from_amplitude(np.array([1 + 5e-7], dtype=np.float32), 3.5)
    assert found[0] == pytest.approx(3.5)


def test_largest_amplitude_is_one_only_when_the_generator_reaches_v_pi() -> None:
    assert largest_amplitude(5.0, 3.5) == 1.0
    assert largest_amplitude(3.5, 3.5) == 1.0
    assert largest_amplitude(1.0, 3.0) == pytest.approx(0.5)
