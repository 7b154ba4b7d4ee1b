"""A phase error that all frames of a data vector share, as one that is held for a burst."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.stats import chi2, norm

from drivers.backend import ReturnSummary, ServerOpticsInfo
from drivers.receivers import PassiveTap
from drivers.return_summary import summarise
from protocol.verification.expected import ReturnExpectation, expected_return
from protocol.verification.verifier import TestScore, Verifier

ROWS, MODES, INPUTS = 12, 8, 6
TAP = PassiveTap(tap_fraction=0.5)
PHASE_RAD = 0.05
INFO = ServerOpticsInfo(
    backend="b",
    simulated=True,
    seed=None,
    modes_per_frame=MODES,
    symbol_rate_hz=1e8,
    electronic_noise_snu=0.1,
    phase_noise_rad=PHASE_RAD,
    phase_error_per_input=True,
)
LAW = expected_return(INFO, TAP)
SINE_SQUARED = (1 - math.exp(-2 * PHASE_RAD**2)) / 2


def summary_of(
    on_p: list[bool],
    residual_p_snu: float,
    mean_snu: float,
    law: ReturnExpectation = LAW,
) -> ReturnSummary:
    """All modes with the same mean on X; P frames with a mean square deviation in all modes."""
    quadratures = torch.tensor(on_p)[:, None].expand(len(on_p), ROWS)
    means = torch.full((1, ROWS, MODES), mean_snu)
    on_x = law.gain * means + math.sqrt(law.white_variance)
    values = torch.where(quadratures[..., None], math.sqrt(residual_p_snu), on_x)
    return summarise(values, quadratures, means, law.gain)


def score_of(
    name: str, summary: ReturnSummary, law: ReturnExpectation = LAW, blocks: int = 1
) -> TestScore:
    verdict = Verifier(law, false_alarm=1e-6, blocks=blocks).test(summary)
    (found,) = (score for score in verdict.scores if score.name == name)
    return found


@pytest.mark.parametrize("on_p", [[True] * INPUTS, [False] + [True] * (INPUTS - 1)])
def test_p_variance_is_expected_with_the_phase_error_when_nothing_was_measured_in_x(
    on_p: list[bool],
) -> None:
    """What X holds is known from what was sent: a block may have been measured in P alone."""
    found = score_of("P variance", summary_of(on_p, 1.1, mean_snu=12.0))
    wanted = 1.1 + 0.5 * SINE_SQUARED * 144
    assert found.expected == pytest.approx(wanted, rel=1e-5)


def test_row_sums_are_expected_with_the_phase_error_when_nothing_was_measured_in_x() -> None:
    found = score_of("row sums", summary_of([True] * INPUTS, 1.1, mean_snu=12.0))
    assert found.expected == pytest.approx(1.1 + 0.5 * SINE_SQUARED * 144, rel=1e-5)


@pytest.mark.parametrize("errors", [1, 3, 6])
@pytest.mark.parametrize("score", [-2.0, 2.0, 4.0])
def test_p_variance_has_as_many_degrees_of_freedom_as_data_vectors_when_the_mean_is_bright(
    errors: int, score: float
) -> None:
    """Against next to no noise the sum of squares is chi-square with one degree per error."""
    bright = 3e4
    share = float(chi2.isf(norm.sf(score), errors)) / errors
    deviation = LAW.white_variance + LAW.cross_gain_variance * bright**2 * share
    found = score_of("P variance", summary_of([True] * errors, deviation, bright))
    assert found.score == pytest.approx(score, abs=0.05)


def test_a_rows_own_sum_has_one_error_per_frame_when_data_vectors_share_theirs() -> None:
    assert LAW.frames_per_phase([1.0, 5.0, 60.0], ROWS).tolist() == [1.0, 5.0, ROWS]
    assert LAW.frames_per_phase(6.0, 1) == 1.0
    every_frame = replace(LAW, inputs_per_phase=0.0, memory_frames=2.0)
    assert every_frame.frames_per_phase([0.0, 3.0, 60.0], ROWS).tolist() == [1.0, 3.0, 5.0]


def test_gain_varies_with_the_errors_of_whole_data_vectors_when_they_share_them() -> None:
    """The mean of so many cosines: their variance over their number, noise beside it."""
    bright = 1e4
    found = score_of("gain", summary_of([False] * INPUTS, 1.1, bright))
    cosine = (1 - math.exp(-(PHASE_RAD**2))) ** 2 / 2
    noise = LAW.white_variance / (INPUTS * ROWS * MODES * bright**2)
    wanted = math.sqrt(0.5 * cosine / INPUTS + noise) / LAW.gain
    assert found.deviation == pytest.approx(wanted, rel=1e-5)


def test_score_allows_for_a_phase_variance_that_is_not_known_exactly() -> None:
    unsure = expected_return(replace(INFO, phase_variance_uncertainty_rad2=1e-3), TAP)
    summary = summary_of([True] * INPUTS, 2.0, mean_snu=12.0)
    known, found = (score_of("P variance", summary, law) for law in (LAW, unsure))
    turned = 0.5 * math.exp(-2 * PHASE_RAD**2) * 1e-3 * 144
    systematic = turned / known.expected / known.deviation
    assert found.systematic == pytest.approx(systematic, rel=1e-5)
    assert found.score == pytest.approx(known.score / math.hypot(1, systematic), rel=1e-6)
    assert found.chance_score == pytest.approx(known.score, rel=1e-6)


def test_scores_are_the_same_when_there_is_next_to_no_light_for_the_phase_to_turn() -> None:
    """What is allowed for is a share of the mean: faint light is tested as sharply as before."""
    unsure = expected_return(replace(INFO, phase_variance_uncertainty_rad2=1.5e-3), TAP)
    alone = replace(LAW, inputs_per_phase=0.0, memory_frames=0.0)
    summary = summary_of([True] * INPUTS, 1.4, mean_snu=math.sqrt(4 * 0.1))
    scores = [score_of("P variance", summary, law).score for law in (alone, LAW, unsure)]
    assert scores[1:] == pytest.approx([scores[0]] * 2, rel=1e-4)
    assert scores[0] > 3.0
