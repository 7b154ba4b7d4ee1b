"""Pulse shapes against their formulas."""

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.optics.pulses import PulseShape, hann_pulse, root_raised_cosine_pulse

SHAPES = [hann_pulse(8), hann_pulse(4), root_raised_cosine_pulse(4), root_raised_cosine_pulse(8)]
NAMES = ["hann8", "hann4", "rrc4", "rrc8"]


@pytest.mark.parametrize("pulse", SHAPES, ids=NAMES)
def test_pulse_has_unit_energy_and_is_even(pulse: PulseShape) -> None:
    assert pulse.taps.dtype == np.float32
    assert pulse.taps.shape == (pulse.length,)
    assert float(pulse.taps.astype(float) @ pulse.taps.astype(float)) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(pulse.taps, pulse.taps[::-1], atol=1e-7)
    assert pulse.peak == pulse.taps.max()


def test_hann_pulse_is_the_squared_sine_at_the_middle_of_the_samples() -> None:
    wanted = np.sin(np.pi * (np.arange(8) + 0.5) / 8) ** 2
    np.testing.assert_allclose(hann_pulse(8).taps, wanted / np.linalg.norm(wanted), rtol=1e-6)


def test_hann_curvature_is_that_of_the_integrals() -> None:
    # Integral of p'^2 over integral of p^2 for sin^2(pi t/T): 4 pi^2 / (3 T^2).
    assert hann_pulse(8).timing_curvature == pytest.approx(4 * np.pi**2 / 3 / 64, rel=1e-5)


@pytest.mark.parametrize("roll_off", [0.25, 0.5, 1.0])
def test_root_raised_cosine_pairs_have_no_interference(roll_off: float) -> None:
    taps = root_raised_cosine_pulse(4, roll_off=roll_off, span_slots=31).taps.astype(float)
    both = np.convolve(taps, taps[::-1])
    middle = both.size // 2
    assert both[middle] == pytest.approx(1, abs=1e-6)
    assert np.max(np.abs(both[middle + 4 :: 4])) < 1e-3


@pytest.mark.parametrize("pulse", SHAPES, ids=NAMES)
@pytest.mark.parametrize("shift", [-0.5, 0.2])
def test_slope_is_the_derivative_by_the_delay(pulse: PulseShape, shift: float) -> None:
    step = 1e-4
    wanted = (pulse.shifted(shift + step) - pulse.shifted(shift - step)) / (2 * step)
    np.testing.assert_allclose(pulse.slope(shift), wanted, atol=2e-3)
    assert pulse.slope(0.2)[0] * pulse.shifted(0.2)[0] <= 0.01


def test_shifted_pulse_moves_later_when_the_delay_is_positive() -> None:
    index = np.arange(8)
    energy = hann_pulse(8).shifted(0.5) ** 2
    assert float(energy @ index) == pytest.approx(3.5 + 0.5, abs=0.01)


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda: hann_pulse(3), "samples_per_symbol"),
        (lambda: root_raised_cosine_pulse(4, roll_off=0.0), "roll_off"),
        (lambda: root_raised_cosine_pulse(4, span_slots=8), "span_slots"),
        (lambda: PulseShape(name="hann", samples_per_symbol=8, span_slots=3), "span_slots"),
    ],
    ids=["few-samples", "no-roll-off", "even-span", "hann-with-span"],
)
def test_pulse_refuses_when_a_value_is_out_of_range(build: object, word: str) -> None:
    assert callable(build)
    with pytest.raises(ConfigurationError, match=word):
        build()
