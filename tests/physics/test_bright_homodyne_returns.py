"""Honest light that a phase lock holds burst by burst is refused no more often than agreed.

The law: white noise of the recorded variance, and one normal phase error per data vector, which
turns the known means of X into P by its sine. At 40 photons per symbol this is a tenth of the noise
of P, and it varies with the few errors of a block and with how well the calibration knows them.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import gammaincinv

from drivers.backend import ServerOpticsInfo
from drivers.receivers import PassiveTap
from drivers.return_summary import summarise
from protocol.verification.expected import expected_return
from protocol.verification.verifier import Verifier

ROWS, MODES = 160, 4
PHOTONS = 40.0
VARIANCE_RAD2 = 2e-3
CALIBRATED_BURSTS = 24
TAP = PassiveTap(tap_fraction=0.5)
INFO = ServerOpticsInfo(
    backend="law",
    simulated=True,
    seed=None,
    modes_per_frame=MODES,
    symbol_rate_hz=1e8,
    forward_transmittance=0.7,
    return_transmittance=0.7,
    detection_efficiency=0.9,
    electronic_noise_snu=0.02,
    phase_noise_rad=math.sqrt(VARIANCE_RAD2),
    phase_error_per_input=True,
)
STEADY = math.sqrt(0.7 * 0.5 * 0.7 * 0.9)


def scores_of_p(
    blocks: int, inputs: int, calibrated: Callable[[int], ServerOpticsInfo], seed: int
) -> NDArray[np.float64]:
    """Scores of the P variance of honest blocks, some of them measured in P alone."""
    generator = torch.Generator().manual_seed(seed)
    means = 2 * math.sqrt(PHOTONS) * torch.randn(1, ROWS, MODES, generator=generator)
    found = []
    for block in range(blocks):
        law = expected_return(calibrated(block), TAP)
        errors = math.sqrt(VARIANCE_RAD2) * torch.randn(inputs, 1, 1, generator=generator)
        on_p = torch.rand(inputs, 1, generator=generator) < 0.5
        if not bool(on_p.any()):
            continue
        shown = torch.where(on_p[..., None], torch.sin(errors), torch.cos(errors))
        noise = torch.randn(inputs, ROWS, MODES, generator=generator)
        values = STEADY * shown * means + math.sqrt(law.white_variance) * noise
        summary = summarise(values, on_p.expand(inputs, ROWS), means, law.gain)
        verdict = Verifier(law, false_alarm=1e-3, blocks=1).test(summary)
        found += [score.score for score in verdict.scores if score.name == "P variance"]
    return np.array(found)


def test_scores_of_p_are_normal_when_the_phase_errors_variance_is_known() -> None:
    """Beyond 2 lie 4.6 % of 1800 scores and more: six standard deviations are 3 %."""
    scores = scores_of_p(2000, 4, lambda block: INFO, seed=1)
    assert scores.size > 1800
    beyond = float(np.mean(np.abs(scores) > 2.0))
    assert abs(beyond - 0.0455) < 0.0296
    assert not np.any(np.abs(scores) > 6.5)


def drawn_calibrations(seed: int, *, allowed: bool) -> Callable[[int], ServerOpticsInfo]:
    """What calibrations find of the variance in a number of bursts, with their uncertainty.

    The standard uncertainty is of a normal law that reaches at 6 standard deviations as far as
    chi-square does.
    """
    rng = np.random.default_rng(seed)
    least = 2 * float(gammaincinv(CALIBRATED_BURSTS / 2, 9.87e-10))

    def calibrated(block: int) -> ServerOpticsInfo:
        found = VARIANCE_RAD2 * rng.chisquare(CALIBRATED_BURSTS) / CALIBRATED_BURSTS
        return replace(
            INFO,
            phase_noise_rad=math.sqrt(found),
            # The round trip's gain is measured, whatever is held of the phase.
            detection_efficiency=0.9 * math.exp(found - VARIANCE_RAD2),
            phase_variance_uncertainty_rad2=(
                found * (CALIBRATED_BURSTS / least - 1) / 6 if allowed else 0.0
            ),
        )

    return calibrated


@pytest.mark.parametrize("limit", [2.58, 3.29])
def test_honest_p_is_refused_no_more_often_than_agreed_when_few_bursts_were_calibrated(
    limit: float,
) -> None:
    """At 60 vectors per block the calibration knows less of the error than the block shows.

    The tails beyond are 1 % and 0.1 %: of 700 blocks 7 and 0.7 on average, 29 and 11 with less
    than 1e-9. Without the allowance it is 57 and 19 of them.
    """
    most = {2.58: 28, 3.29: 10}[limit]
    sharp = scores_of_p(700, 60, drawn_calibrations(2, allowed=False), seed=3)
    assert np.sum(np.abs(sharp) > limit) > most
    scores = scores_of_p(700, 60, drawn_calibrations(2, allowed=True), seed=3)
    assert np.sum(np.abs(scores) > limit) <= most
