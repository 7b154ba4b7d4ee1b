"""The projection on audited data, and exact tails of two groups of squares."""

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2

from drivers.errors import ConfigurationError
from protocol.verification.audit import audit_limits, projected_energy
from protocol.verification.exact_tails import two_group_tails


def test_projection_sees_the_noise_of_the_data_mode_alone() -> None:
    random = np.random.default_rng(1)
    data = random.standard_normal(30)
    data /= np.linalg.norm(data)
    along = random.standard_normal(2000)
    deviations = along[:, None] * data
    across = random.standard_normal((2000, 30))
    across -= (across @ data)[:, None] * data
    wanted = float(np.square(along).sum())
    assert projected_energy(deviations + across, data) == pytest.approx(wanted)


def test_limits_are_kept_by_the_agreed_receiver_and_broken_by_more_gain() -> None:
    low, high = audit_limits(760, 1.0, 1.0, 1e-6)
    random = np.random.default_rng(2)
    honest, raised = 2 * random.chisquare(760, 2000), 3 * random.chisquare(760, 2000)
    assert ((honest > low) & (honest < high)).all()
    missed = int(((raised > low) & (raised < high)).sum())
    assert binom.sf(missed - 1, 2000, 2e-3) > 1e-9
    assert chi2.cdf(low / 2, 760) == pytest.approx(5e-7)


def test_audits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="shape"):
        projected_energy(np.ones((2, 3)), np.ones(2))
    with pytest.raises(ConfigurationError, match="norm"):
        projected_energy(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ConfigurationError, match="norm"):
        projected_energy(np.ones((2, 3)), np.full(3, math.nan))
    with pytest.raises(ConfigurationError, match="audit of 0"):
        audit_limits(0, 1.0, 1.0, 0.1)
    with pytest.raises(ConfigurationError, match="alpha"):
        audit_limits(1, 1.0, 1.0, 0.5)


@pytest.mark.parametrize(("degrees", "low", "high"), [((100, 1), 60.0, 160.0), ((7, 5), 4.0, 40.0)])
def test_exact_tails_are_counted_when_two_groups_mix(
    degrees: tuple[float, float], low: float, high: float
) -> None:
    random = np.random.default_rng(3)
    sums = random.chisquare(degrees[0], 400_000) + 2 * random.chisquare(degrees[1], 400_000)
    below, above = two_group_tails(low, high, (1.0, 2.0), degrees)
    for count, rate in ((int((sums < low).sum()), below), (int((sums > high).sum()), above)):
        assert binom.sf(count - 1, 400_000, rate) > 1e-9
        assert binom.cdf(count, 400_000, rate) > 1e-9


def test_exact_tails_are_chi_square_when_the_groups_are_alike() -> None:
    below, above = two_group_tails(50.0, 200.0, (1.5, 1.5), (90, 12))
    assert below == pytest.approx(float(chi2.cdf(50 / 1.5, 102)), rel=1e-9)
    assert above == pytest.approx(float(chi2.sf(200 / 1.5, 102)), rel=1e-9)
    alone = two_group_tails(50.0, 200.0, (1.5, 1.0), (102, 0))
    assert alone == pytest.approx((below, above), rel=1e-9)


def test_tails_of_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="weights"):
        two_group_tails(1.0, 2.0, (0.0, 1.0), (1, 1))
