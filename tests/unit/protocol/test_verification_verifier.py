"""The verifier on real summaries of simulated links: false alarms, both sides, NaN."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from drivers.backend import ReturnSummary
from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.verification import Evidence, Verdict, Verifier, expected_return
from protocol.verification.expected import largest_alignment
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.blocks import block_of
from tests.unit.protocol.session_bench import LAB, Bench, normals, perceptron

RECEIVERS: tuple[Receiver, ...] = (
    Amplifier(gain=2.0),
    FeedForwardTap(tap_fraction=0.4),
    PassiveTap(tap_fraction=0.4),
)
IDEAL = DetectorSettings()


def settings_of(receiver: Receiver, detector: DetectorSettings, seed: int) -> LinkSettings:
    lab = detector is LAB
    return LinkSettings(
        receiver=receiver,
        forward_transmittance=0.8 if lab else 1.0,
        return_transmittance=0.8 if lab else 1.0,
        excess_noise_snu=0.01 if lab else 0.0,
        unitary_error_rad=0.02 if lab else 0.0,
        client=detector,
        server=detector,
        seed=seed,
        device="cpu",
    )


def verdicts(
    settings: LinkSettings,
    *,
    blocks: int,
    inputs: int,
    rows: int = 4,
    modes: int = 16,
    mu: float = 0.5,
    complex_values: bool = False,
    false_alarm: float = 1e-6,
) -> list[Verdict]:
    """Honest blocks on one link, each tested by a verifier for one block."""
    link = SymbolLink(settings)
    means = math.sqrt((2 if complex_values else 4) * mu) * normals(1, rows, modes, seed=1)
    if complex_values:
        means = torch.complex(means, math.sqrt(2 * mu) * normals(1, rows, modes, seed=2))
    generator = torch.Generator().manual_seed(9)
    expectation = expected_return(
        link.server.describe(),
        settings.receiver,
        inputs=inputs,
        alignment=largest_alignment(means[0]),
    )
    verifier = Verifier(expectation, false_alarm=false_alarm, blocks=1)
    found = []
    for number in range(blocks):
        block = block_of(number, inputs=inputs, rows=rows, modes=modes)
        data = torch.randn(inputs, modes, generator=generator)
        if complex_values:
            data = torch.complex(data, torch.randn(inputs, modes, generator=generator))
        link.client.load(block, data / torch.linalg.vector_norm(data, dim=-1, keepdim=True))
        link.server.send(block, means)
        link.client.measure(block)
        flips = torch.rand(inputs, rows, generator=generator) < 0.5
        found.append(verifier.test(link.server.collect_summary(block, flips, expectation.gain)))
    return found


def alarms(found: list[Verdict], alpha: float) -> dict[str, int]:
    """Blocks that each test would refuse at a two-sided rate `alpha` of its own."""
    counts = dict.fromkeys(("gain", "X variance", "P variance", "row sums"), 0)
    for verdict in found:
        for score in verdict.scores:
            # A row sum's threshold is shared over rows; undo this with its own number.
            tests = 4 if score.name == "row sums" else 1
            counts[score.name] += abs(score.score) > float(stats.norm.isf(alpha / (2 * tests)))
    return counts


ALPHA, BLOCKS = 0.03, 500


def upper(trials: int, rate: float) -> int:
    """Count that a binomial exceeds with probability below 1e-12."""
    return int(stats.binom.isf(1e-12, trials, rate))


@pytest.mark.parametrize("receiver", RECEIVERS)
@pytest.mark.parametrize("detector", [IDEAL, LAB], ids=["ideal", "lab"])
@pytest.mark.parametrize("complex_values", [False, True], ids=["real", "complex"])
def test_false_alarms_stay_at_the_rate_asked_for_when_the_client_is_honest(
    receiver: Receiver, detector: DetectorSettings, complex_values: bool
) -> None:
    """At most alpha = 0.03 per test over 500 blocks, and on the ideal link not far below.

    Limits are binomial tails of 1e-12, 48 of them upper and 20 lower: below 1e-10 in all. The gain
    test may be quieter, for its noise is bounded rather than known. Alarms measured once per 2000
    blocks at alpha = 0.01, where 20 are expected (gain, X variance, P variance, row sums):

        receiver            ideal, real      lab, real        ideal, complex   lab, complex
        amplifier           7, 17, 14, 17    9, 21, 20, 15    8, 22, 19, 12    15, 22, 19, 14
        feed-forward tap    17, 16, 16, 14   19, 19, 17, 23   -                -
        passive tap         22, 23, 16, 15   15, 15, 16, 22   28, 19, 23, 20   27, 23, 24, 18
    """
    if complex_values and not receiver.preserves_p:
        pytest.skip("the receiver keeps the mean of X only")
    found = verdicts(
        settings_of(receiver, detector, seed=5),
        blocks=BLOCKS,
        inputs=10,
        complex_values=complex_values,
    )
    counts = alarms(found, ALPHA)
    for name, count in counts.items():
        # The lab link's laws are approximated by matched moments: a fifth more is allowed there.
        rate = 1.2 * ALPHA if detector is LAB else ALPHA
        assert count <= upper(BLOCKS, rate), (name, count)
        if detector is IDEAL and name != "gain":
            assert count >= int(stats.binom.ppf(1e-12, BLOCKS, ALPHA)), (name, count)


def test_false_alarms_stay_rare_when_phase_noise_moves_bright_complex_light() -> None:
    """A phase error turns P into X as it turns X into P: with weights on both, both must expect it.

    500 photons per mode and 0.02 rad move 0.4 SNU into each quadrature of each mode.
    """
    shaky = replace(IDEAL, phase_error_rad=0.02, phase_memory_frames=0.0)
    settings = replace(
        settings_of(PassiveTap(tap_fraction=0.5), IDEAL, seed=3),
        server=shaky,
    )
    found = verdicts(settings, blocks=400, inputs=20, mu=500.0, complex_values=True)
    assert all(verdict.accepted for verdict in found)
    counts = alarms(found, ALPHA)
    assert max(counts.values()) <= upper(400, 1.2 * ALPHA)
    half = {s.name: s for s in found[0].scores}["X variance"]
    assert half.expected == pytest.approx(1 + 0.5 * 0.02**2 * 2 * 500, rel=0.25)


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_honest_session_passes_a_thousand_blocks_when_at_the_default_rate(
    receiver: Receiver,
) -> None:
    """By its definition such a session fails once in a million seeds; this one is fixed."""
    bench = Bench(
        model=perceptron((12, 9, 4)),
        link_settings=settings_of(receiver, LAB, seed=2),
        samples_per_block=2,
    )
    bench.client.infer(normals(1000, 12, seed=3))
    assert len(bench.server.record.blocks) == 1000
    assert bench.server.record.accepted


def summary_of(
    *,
    gain: float = 1.0,
    variance_x: float = 1.0,
    variance_p: float = 1.0,
    rows: int = 5,
    frames: float = 100.0,
    modes: int = 20,
    row_factor: float = 1.0,
) -> ReturnSummary:
    """A summary at its exact mean for a receiver that adds no noise; energy is 2 per mode."""
    count = torch.full((2, rows), frames, dtype=torch.float64)
    energy = torch.zeros((2, rows), dtype=torch.float64)
    energy[0] = 2 * frames * modes
    residual = frames * modes * torch.tensor([[variance_x], [variance_p]], dtype=torch.float64)
    residual = residual.repeat(1, rows)
    residual[0, 0] *= row_factor
    return ReturnSummary(
        frames=count,
        reference_gain=0.8,
        mean_energy_snu=energy,
        projection_snu=gain * energy,
        residual_energy_snu=residual,
        rails=torch.zeros_like(count),
        modes=modes,
    )


def verifier_of(**changes: float) -> Verifier:
    link = SymbolLink(LinkSettings(receiver=PassiveTap(tap_fraction=0.36), seed=1, device="cpu"))
    info = replace(link.server.describe(), **changes)  # type: ignore[arg-type]
    return Verifier(expected_return(info, link.settings.receiver), false_alarm=1e-6, blocks=10)


def failed(verdict: Verdict) -> set[str]:
    return set(verdict.failed.split(", ")) - {""}


def test_verdict_is_two_sided_when_a_value_is_too_good() -> None:
    """A gain above or a variance below what is possible is an attack or a fault, never good."""
    verifier = verifier_of()
    assert verifier.test(summary_of(gain=0.8)).accepted
    assert failed(verifier.test(summary_of(gain=0.9))) == {"gain"}
    assert failed(verifier.test(summary_of(gain=0.7))) == {"gain"}
    assert "X variance" in failed(verifier.test(summary_of(gain=0.8, variance_x=0.9)))
    assert "X variance" in failed(verifier.test(summary_of(gain=0.8, variance_x=1.1)))
    assert "P variance" in failed(verifier.test(summary_of(gain=0.8, variance_p=0.9)))
    assert "P variance" in failed(verifier.test(summary_of(gain=0.8, variance_p=1.1)))
    # X squeezed and P stretched: every row's sum is as it should be, and it is seen all the same.
    squeezed = verifier.test(summary_of(gain=0.8, variance_x=0.9, variance_p=1.1))
    assert failed(squeezed) == {"X variance", "P variance"}


def test_verdict_names_the_row_when_one_row_alone_is_off() -> None:
    verifier = verifier_of()
    verdict = verifier.test(summary_of(gain=0.8, row_factor=1.5, rows=40))
    assert "row sums" in failed(verdict)
    assert verdict.scores[-1].row == 0
    assert "row sums" in verdict.reason
    assert verifier.test(summary_of(gain=0.8, row_factor=1.02, rows=40)).reason == ""


def broken(field: str, value: float) -> ReturnSummary:
    summary = summary_of(gain=0.8)
    tensor: Tensor = getattr(summary, field).clone()
    tensor[0, 2] = value
    return replace(summary, **{field: tensor})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["projection_snu", "residual_energy_snu"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_verdict_refuses_when_a_sum_is_not_a_number(field: str, value: float) -> None:
    with np.errstate(all="ignore"):
        verdict = verifier_of().test(broken(field, value))
    assert not verdict.accepted
    assert verdict.failed


def test_thresholds_widen_when_a_session_has_more_blocks() -> None:
    """Bonferroni over blocks and the four tests; row sums share theirs over the rows."""
    expectation = verifier_of().expectation
    for blocks in (1, 100, 10**6):
        verifier = Verifier(expectation, false_alarm=1e-6, blocks=blocks)
        wanted = float(stats.norm.isf(1e-6 / (4 * blocks) / 2))
        assert verifier.threshold() == pytest.approx(wanted, rel=1e-9)
        shared = float(stats.norm.isf(1e-6 / (4 * blocks) / 2 / 784))
        assert verifier.threshold(784) == pytest.approx(shared, rel=1e-9)
        scores = verifier.test(summary_of(gain=0.8)).scores
        assert [s.threshold for s in scores[:3]] == [verifier.threshold()] * 3
        assert scores[3].threshold == verifier.threshold(5)


@pytest.mark.parametrize(("rate", "blocks"), [(0.0, 1), (0.5, 1), (math.nan, 1), (1e-6, 0)])
def test_verifier_refuses_when_its_rate_or_blocks_are_out_of_range(
    rate: float, blocks: int
) -> None:
    with pytest.raises(ConfigurationError):
        Verifier(verifier_of().expectation, false_alarm=rate, blocks=blocks)


def test_calibration_uncertainty_widens_a_test_when_it_is_stated() -> None:
    assert not verifier_of().test(summary_of(gain=0.85)).accepted
    assert verifier_of(gain_uncertainty=0.02).test(summary_of(gain=0.85)).accepted
    noisy = summary_of(gain=0.8, variance_x=1.1, variance_p=1.1)
    assert not verifier_of().test(noisy).accepted
    assert verifier_of(variance_uncertainty=0.05).test(noisy).accepted


def test_expected_return_is_what_the_receivers_formulas_say_when_optics_are_lossy() -> None:
    for receiver in RECEIVERS:
        link = SymbolLink(settings_of(receiver, LAB, seed=1))
        law = expected_return(link.server.describe(), receiver, inputs=10**9)
        eta, spread = 0.85 * 0.98**2, 0.03**2
        through = 0.8 * 0.8 * eta * receiver.returned_transmittance
        assert law.gain == pytest.approx(math.sqrt(through) * math.exp(-spread / 2))
        white = 1 + 0.05 + through * 0.01 + 0.001**2
        assert law.white_variance == pytest.approx(white)
        assert law.launch_excess == pytest.approx(through * 0.01)
        assert law.cross_gain_variance == pytest.approx(through * spread, rel=1e-2)
        assert law.verifiable
        assert law.variance_uncertainty < 1e-5
    nothing = expected_return(link.server.describe(), PassiveTap(tap_fraction=1.0))
    assert not nothing.verifiable


def brute_alignment(means: Tensor) -> float:
    values = np.linalg.svd(means.numpy(), compute_uv=False)
    return float(values[0] ** 2 / (values**2).sum())


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_largest_alignment_bounds_the_singular_value_from_above_when_iterated(rows: int) -> None:
    for complex_values in (False, True):
        means = normals(rows, 12, seed=rows)
        if complex_values:
            means = torch.complex(means, normals(rows, 12, seed=50 + rows))
        wanted = brute_alignment(means)
        found = largest_alignment(means)
        assert wanted * (1 - 1e-4) <= found <= min(1.0, 1.11 * wanted)
    assert largest_alignment(torch.zeros(3, 4)) == 0.0
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert largest_alignment(opposite) == pytest.approx(1.0)


def test_largest_alignment_finds_rows_when_their_sum_cancels_and_another_row_is_stronger() -> None:
    means = torch.zeros(201, 5)
    means[:100, 1], means[100:200, 1] = 1.0, -1.0
    means[200, 3] = 2.0
    assert largest_alignment(means) == pytest.approx(min(1.0, 1.1 * 200 / 204))


def test_largest_alignment_stays_near_the_truth_when_the_spectrum_is_dense() -> None:
    means = normals(300, 300, seed=4)
    wanted = brute_alignment(means)
    assert wanted <= largest_alignment(means) <= 1.1001 * wanted


def test_evidence_adds_up_and_is_nan_when_nothing_was_seen() -> None:
    evidence = Evidence()
    assert math.isnan(evidence.gain)
    assert math.isnan(evidence.variance_snu(0))
    for gain in (0.7, 0.9):
        evidence.add(summary_of(gain=gain, variance_x=1.2, variance_p=0.9))
    assert evidence.gain == pytest.approx(0.8)
    assert evidence.variance_snu(0) == pytest.approx(1.2)
    assert evidence.variance_snu(1) == pytest.approx(0.9)
    assert evidence.symbols.tolist() == [20_000.0, 20_000.0]


def scores_of(found: list[Verdict], pick: Callable[[Verdict], float]) -> NDArray[np.float64]:
    return np.array([pick(verdict) for verdict in found])


def test_scores_are_standard_normal_when_the_link_is_ideal_and_passive() -> None:
    """Kolmogorov-Smirnov on 1000 blocks per test, p above 1e-11; row sums take a maximum."""
    found = verdicts(
        settings_of(PassiveTap(tap_fraction=0.4), IDEAL, seed=8), blocks=1000, inputs=20
    )
    for index in range(3):
        scores = scores_of(found, lambda verdict, index=index: verdict.scores[index].score)  # type: ignore[misc]
        assert stats.kstest(scores, "norm").pvalue > 1e-11
