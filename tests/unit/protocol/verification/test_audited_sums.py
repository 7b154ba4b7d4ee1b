"""Energies along opened vectors against their limits, with phase errors that frames share."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, norm

from protocol.verification.audit import AuditedSums, audit_limits

ALPHA = 1e-4
FRAMES, SHARED = 300, 100
TURNED = 0.4


def sums_of(
    energy: float,
    *,
    turned: float = TURNED,
    shared: float = SHARED,
    uncertainty: float = 0.0,
) -> AuditedSums:
    """One block, whose energies are in units of what was agreed."""
    sums = AuditedSums()
    sums.add(
        frames=FRAMES,
        energy_snu=2.0 * energy,
        variance_snu=2.0,
        phase_noise_snu=2.0 * turned,
        frames_per_phase=shared,
        phase_uncertainty_snu=2.0 * uncertainty,
    )
    return sums


def test_limits_are_those_of_chi_square_when_no_phase_error_turns_the_mean() -> None:
    low, high = audit_limits(FRAMES, 1.0, 0.0, ALPHA)
    for energy in (low, high):
        assert sums_of(energy, turned=0.0).ratio(ALPHA, 0.0, 5.0) == pytest.approx(1.0)
    assert sums_of(1.01 * high, turned=0.0).ratio(ALPHA, 0.01, 5.0) == pytest.approx(1.0)
    assert sums_of(0.99 * low, turned=0.0).ratio(ALPHA, 0.01, 5.0) == pytest.approx(1.0)


def test_limits_are_nearly_those_of_chi_square_when_every_frame_errs_by_itself() -> None:
    """Squares of the sum of two normal numbers, noise and error, are as those of one."""
    low, high = audit_limits(FRAMES, 1.0, 0.0, ALPHA)
    for energy in (low, high):
        assert sums_of(energy, shared=1).ratio(ALPHA, 0.0, 5.0) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_honest_audits_are_refused_no_more_often_than_agreed_when_frames_share_errors(
    scale: float,
) -> None:
    """Three errors in 300 frames: refused with 1 %, of 4000 beyond 85 with less than 1e-9."""
    rng = np.random.default_rng(1)
    turned = TURNED * scale / (1 - TURNED + TURNED * scale)
    errors = rng.standard_normal((4000, FRAMES // SHARED, 1)) * math.sqrt(turned)
    means = rng.standard_normal((4000, FRAMES // SHARED, SHARED))
    noise = rng.standard_normal(means.shape) * math.sqrt(1 - turned)
    energies = np.square(noise + errors * means).sum((1, 2))
    refused = [not sums_of(e, turned=turned).ratio(0.01, 0.0, 5.0) <= 1 for e in energies]
    assert sum(refused) <= 85
    # As if all frames were independent, a multiple of that would be.
    low, high = audit_limits(FRAMES, 1.0, 0.0, 0.01)
    assert np.sum((energies < low) | (energies > high)) > 100


def test_audit_is_refused_when_the_excess_is_more_than_errors_explain() -> None:
    """The upper limit lies where chi-square with three degrees says, noise aside."""
    share = float(chi2.isf(norm.sf(-norm.ppf(ALPHA / 2)), 3)) / 3
    within = FRAMES * (1 - TURNED + TURNED * share)
    assert sums_of(0.9 * within).ratio(ALPHA, 0.0, 5.0) < 1
    assert sums_of(1.2 * within).ratio(ALPHA, 0.0, 5.0) > 1
    assert sums_of(0.3 * FRAMES).ratio(ALPHA, 0.0, 5.0) > 1


def test_limits_give_way_by_what_the_calibration_does_not_know_of_the_phase() -> None:
    exact, unsure = sums_of(400.0), sums_of(400.0 * 1.1, uncertainty=0.02)
    assert unsure.ratio(ALPHA, 0.0, 5.0) == pytest.approx(exact.ratio(ALPHA, 0.0, 5.0))


@pytest.mark.parametrize("turned", [0.0, TURNED])
def test_audit_is_refused_when_the_energy_is_not_a_number(turned: float) -> None:
    assert not sums_of(math.nan, turned=turned).ratio(ALPHA, 0.0, 5.0) <= 1
