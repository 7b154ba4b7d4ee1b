"""What is really reconstructed, against every score worked out, the simulated fibre and bounds.

Every test fixes its seed; limits are 7 standard errors or probabilities of 1e-11, fewer than 50
of them: below 1e-9 in all.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2, ncx2

from drivers.backend import Block
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage.data import data_bits_server_homodynes_rows_cap
from sim_backend.reconstruction import (
    DictionaryLaw,
    bits_of_squared_overlaps,
    candidates_with_cosine,
    count_found,
    expected_squared_overlap,
    log_likelihoods,
    principal_direction,
    squared_overlaps,
)
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from veilight.reconstruct import attack_dictionary, refuse_gains_above_bounds
from veilight.reconstruct_weights import measure_weights

MILLION = 10**6
STRONG, WEAK = Amplifier(gain=2.0), Amplifier(gain=1.1)


def tap_like(amplifier: Amplifier) -> FeedForwardTap:
    return FeedForwardTap(tap_fraction=amplifier.snr_factor)


def around_truth(generator: np.random.Generator, number: int, modes: int) -> np.ndarray:
    """A truth, first, and wrong candidates of cosine 0.5 with it that ignore each other."""
    rest = generator.standard_normal((number, modes - 1))
    array = np.zeros((number, modes))
    array[:, 0] = 0.5
    array[:, 1:] = math.sqrt(0.75) * rest / np.linalg.norm(rest, axis=1, keepdims=True)
    array[0] = np.eye(modes)[0]
    return array


@pytest.mark.parametrize(("ell", "rows"), [(1.0, 30), (1.0, 60), (1.0, 120), (0.35, 300)])
def test_law_agrees_with_every_score_when_300_candidates_are_drawn(ell: float, rows: int) -> None:
    law = DictionaryLaw(excess_noise_snu=ell, candidates=300).success(rows)
    found = count_found(
        np.random.default_rng(rows),
        candidates_with_cosine(300, 301, 0.5),
        excess_noise_snu=ell,
        rows=rows,
        trials=300,
    )
    assert abs(found / 300 - law.value) < 7 * math.sqrt(law.value * (1 - law.value) / 300) + 2e-3


def test_law_agrees_with_every_score_when_candidates_lie_around_the_truth() -> None:
    generator, rows, trials = np.random.default_rng(8), 61, 200
    law = DictionaryLaw(excess_noise_snu=1.0, candidates=300, geometry="around truth").success(rows)
    found = 0
    for _ in range(trials):
        left = generator.standard_normal((rows, 300))
        left[:, 0] *= math.sqrt(2)
        scores = log_likelihoods(left, around_truth(generator, 300, 300), 1.0)
        found += int(np.argmax(scores) == 0)
    # Twice ln R over the relative entropy: 0.6, the 12 of 20 of a quick trial.
    assert 0.57 < law.value < 0.62
    assert abs(found / trials - law.value) < 7 * math.sqrt(law.value * (1 - law.value) / trials)


@pytest.mark.parametrize(
    ("receiver", "stated", "half", "sure"),
    [
        (STRONG, 73.7, 112, 275),
        (tap_like(STRONG), 1466, 2428, 5504),
        (WEAK, 1317, 2176, 4944),
        (tap_like(WEAK), 56_607, 96_256, 214_272),
    ],
    ids=["amplifier 2", "tap like 2", "amplifier 1.1", "tap like 1.1"],
)
def test_rows_for_one_in_a_million_are_these_when_half_or_nearly_all_are_found(
    receiver: Receiver, stated: float, half: float, sure: float
) -> None:
    attack = attack_dictionary(receiver, candidates=MILLION)
    assert attack.stated_rows == pytest.approx(stated, rel=1e-3)
    assert attack.rows_half == pytest.approx(half, rel=0.01)
    assert attack.rows_sure == pytest.approx(sure, rel=0.02)
    # Fano's bound for half of them lies below, the stated rows below those of a sure server.
    assert attack.fano_rows_half < attack.rows_half
    assert attack.stated_rows < attack.rows_sure
    refuse_gains_above_bounds(attacks=[attack])


def test_tap_needs_20_times_the_rows_when_its_signal_is_as_good() -> None:
    for amplifier, least in ((STRONG, 20.0), (WEAK, 40.0)):
        own, tap = (
            attack_dictionary(receiver, candidates=MILLION)
            for receiver in (amplifier, tap_like(amplifier))
        )
        assert tap.rows_half / own.rows_half > least
        # 19.9 at G = 2: "20 times" is right to 1 %.
        assert tap.stated_rows / own.stated_rows > 0.99 * least
    never = attack_dictionary(PassiveTap(tap_fraction=0.5), candidates=MILLION)
    assert (never.rows_half, never.stated_rows, never.curve) == (math.inf, math.inf, ())


@pytest.mark.slow
def test_law_agrees_with_every_score_when_a_million_candidates_are_drawn() -> None:
    generator, modes, rows, trials = np.random.default_rng(9), 784, 112, 4
    left = generator.standard_normal((trials, rows, modes)).astype(np.float32)
    left[:, :, 0] *= math.sqrt(2)  # x^ is the first mode; m lies between it and the second
    truth = np.square(left[:, :, 0], dtype=np.float64).sum(axis=1)
    # What all wrong ones share: 0.5 along x^ and 0.5 along the rest of m.
    shared = np.square(0.5 * left[:, :, 0] + 0.5 * left[:, :, 1], dtype=np.float64).sum(axis=1)
    levels = 0.5 * ncx2.isf(1e-4, rows, shared / 0.5)
    above, beating = np.zeros(trials, int), np.zeros(trials, int)
    for _ in range(100):
        own = generator.standard_normal((10_000, modes - 2), dtype=np.float32)
        own *= math.sqrt(0.5) / np.linalg.norm(own, axis=1, keepdims=True)
        wrong = np.concatenate([np.full((10_000, 2), 0.5, np.float32), own], axis=1)
        for trial in range(trials):
            scores = np.square(left[trial] @ wrong.T).sum(axis=0)
            above[trial] += int((scores > levels[trial]).sum())
            beating[trial] += int((scores > truth[trial]).sum())
    # Drawn vectors are not orthonormal: their spread changes the tail by some per cent.
    assert abs(above.sum() / (trials * 100) - 1) < 7 / math.sqrt(trials * 100) + 0.1
    for number, score, common in zip(beating, truth, shared, strict=True):
        mean = MILLION * ncx2.sf(score / 0.5, rows, common / 0.5)
        assert binom.cdf(number, MILLION, min(1.0, 1.2 * mean / MILLION)) > 1e-11
        assert binom.sf(number - 1, MILLION, min(1.0, 1.2 * mean / MILLION)) > 1e-11


@pytest.mark.parametrize("receiver", [STRONG, tap_like(STRONG)], ids=["amplifier", "tap"])
@pytest.mark.parametrize("quadrature", ["X", "P"])
def test_server_finds_the_input_when_light_comes_over_the_simulated_fibre(
    receiver: Receiver, quadrature: str
) -> None:
    rows, modes = 2048, 64
    generator = torch.Generator().manual_seed(10)
    data = torch.randn(1, modes, generator=generator)
    data /= torch.linalg.vector_norm(data)
    means = torch.randn(1, rows, modes, generator=generator)
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=1, first_row=0, rows=rows, modes=modes
    )
    link = SymbolLink(LinkSettings(receiver=receiver, seed=11, device="cpu"))
    link.client.load(block, data)
    link.server.send(block, means)
    link.client.measure(block)
    on_p = quadrature == "P"
    values = link.server.collect_full(block, torch.full((1, rows), on_p))
    left = (values if on_p else values - means)[0].double().numpy()
    ell = receiver.excess_noise_p_snu if on_p else receiver.excess_noise_x_snu
    truth = data[0].double().numpy()
    energy = float(np.square(left @ truth).sum())
    assert 1e-11 < chi2.sf(energy / (1 + ell), rows) < 1 - 1e-11
    across = float(np.square(left).sum()) - energy
    assert 1e-11 < chi2.sf(across, rows * (modes - 1)) < 1 - 1e-11
    overlap = float(principal_direction(left) @ truth) ** 2
    assert abs(overlap - expected_squared_overlap(ell, rows, modes)) < 0.2


@pytest.mark.parametrize(("rows", "modes"), [(32, 64), (64, 64), (256, 64), (1024, 64)])
@pytest.mark.parametrize("receiver", [STRONG, WEAK, tap_like(STRONG)], ids=["2", "1.1", "tap"])
def test_component_holds_less_than_the_stated_bits_when_measured(
    receiver: Receiver, rows: int, modes: int
) -> None:
    ell = receiver.excess_noise_x_snu
    squared = squared_overlaps(
        np.random.default_rng(rows), excess_noise_snu=ell, rows=rows, modes=modes, trials=24
    )
    expected = expected_squared_overlap(ell, rows, modes)
    if expected > 0.5:
        assert abs(squared.mean() - expected) < 0.1
    cap = data_bits_server_homodynes_rows_cap(ell, rows, modes)
    assert bits_of_squared_overlaps(squared, modes, 7) / modes < cap


@pytest.mark.parametrize("receiver", [STRONG, tap_like(STRONG)], ids=["amplifier", "tap"])
def test_client_gets_what_is_stated_when_queries_span_the_modes(receiver: Receiver) -> None:
    points = measure_weights(
        receiver,
        photons_per_symbol=0.1,
        modes=32,
        rows=500,
        copies=(8, 32, 320),
        fraction=0.1,
        seed=12,
    )
    refuse_gains_above_bounds(weights=points)
    for point in points:
        assert point.gain.bits < point.bits_holevo
        if point.copies >= 32 or point.way == "light kept":  # else the modes are not all asked for
            assert abs(point.gain.bits - point.bits_bound) < 7 * point.gain.bits_error
