"""The interval of the phase lock's variance, on errors that are drawn rather than measured."""

import math

import numpy as np
import pytest

from calibration.fits.estimates import Estimate
from calibration.routines.phase_lock import _Burst, _root, _sum

BURSTS, TRIALS = 16, 2000


def drawn(rng: np.random.Generator, between: float, within: float, spread: float) -> Estimate:
    """What the routine says of bursts with these variances; slots' noise of 0.01 on each mean."""
    noise = 0.01
    return _sum(
        [
            _Burst(
                mean_rad=math.sqrt(between + noise) * float(rng.standard_normal()),
                noise_rad2=noise,
                within_rad2=within + spread * float(rng.standard_normal()),
            )
            for _ in range(BURSTS)
        ]
    )


@pytest.mark.parametrize(
    ("between", "within", "spread"),
    [(1.0, 0.0, 1e-3), (1.0, 1.0, 0.15), (0.01, 1.0, 0.15), (1.0, 5.0, 0.7), (0.0, 0.0, 1.0)],
    ids=["whole bursts", "both", "within bursts", "mostly within", "noise alone"],
)
def test_sum_of_errors_holds_the_truth_in_95_of_100_when_drawn(
    between: float, within: float, spread: float
) -> None:
    rng = np.random.default_rng(20251122)
    truth = between + within
    held, values = 0, []
    for _ in range(TRIALS):
        found = drawn(rng, between, within, spread)
        low, high = found.interval95
        held += low <= truth <= high
        values.append(found.value)
    # Six standard deviations of a binomial share are 0.029; the sum of squares adds up to 0.01.
    assert 0.92 < held / TRIALS < 0.99
    error = float(np.std(values)) / math.sqrt(TRIALS)
    assert abs(float(np.mean(values)) - truth) < 6.5 * error


def test_root_of_a_variance_that_noise_brought_below_0_is_0_with_an_upper_end() -> None:
    found = _root(Estimate(value=-1e-6, uncertainty=4e-6, interval95=(-9e-6, 4e-6)))
    assert found.value == 0
    assert found.interval95[0] == 0
    assert found.interval95[1] == pytest.approx(2e-3)
    assert found.uncertainty == pytest.approx(1e-3)
