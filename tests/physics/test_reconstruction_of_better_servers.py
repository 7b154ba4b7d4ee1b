"""Photon counting, probes in P and extracted networks against what is stated.

Every test fixes its seed; limits are 6 standard errors or probabilities of 1e-9 each, fewer than 30
of them and most far from their limits.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import eigvalsh

from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage.covariance import covariance_entropy_bits
from protocol.leakage.data import data_bits_server_any_measurement_cap
from sim_backend.reconstruction import (
    count_found,
    count_found_by_photons,
    count_found_by_probing,
    estimate_locally,
)
from veilight.reconstruct import refuse_gains_above_bounds, unit_vectors
from veilight.reconstruct_counting import dictionary_bits_cap, measure_counting
from veilight.reconstruct_model import fit_teacher, measure_model
from veilight.reconstruct_probing import measure_probing

Array = NDArray[np.float64]

STRONG, WEAK, TAP = Amplifier(gain=2.0), Amplifier(gain=1.1), FeedForwardTap(tap_fraction=0.5)
RECEIVERS: dict[str, Receiver] = {"amplifier 2": STRONG, "amplifier 1.1": WEAK, "tap": TAP}


def pictures(number: int = 40, modes: int = 36) -> Array:
    """Inputs that are alike, and dark in places, as pictures are."""
    generator = np.random.default_rng(1)
    values = np.maximum(0.0, generator.normal(0.4, 1.0, (number, modes)))
    return unit_vectors(values.astype(np.float32), number, 2)


@pytest.mark.parametrize("name", RECEIVERS)
def test_counting_reaches_the_quantum_limit_and_does_not_pass_it_when_the_data_are_nearly_known(
    name: str,
) -> None:
    """4 kappa per row and component for the amplifier, ell for the tap.

    The mean square of 9450 errors is known to 1.5 %; the counts of some hundred photons add a few
    per cent (their number varies).
    """
    receiver, modes, trials = RECEIVERS[name], 64, 150
    x, p = receiver.excess_noise_x_snu, receiver.excess_noise_p_snu
    rows = round(4000 / (x + p))
    local = estimate_locally(
        np.random.default_rng(3),
        rows=rows,
        modes=modes,
        excess_noise_x_snu=x,
        excess_noise_p_snu=p,
        spread=0.05,
        trials=trials,
    )
    errors = float(np.square(local.estimate - local.truth).mean()) * modes / (modes - 1)
    limit = 1 / (rows * (x + p))
    assert 1 - 6 * math.sqrt(2 / (trials * (modes - 1))) < errors / limit < 1.15


def test_holevo_bound_of_a_dictionary_is_the_entropy_of_matrices_when_they_are_written_out() -> (
    None
):
    candidates = pictures(5, 4)
    x, p = STRONG.excess_noise_x_snu, STRONG.excess_noise_p_snu
    mean = candidates.T @ candidates / 5
    gamma = np.zeros((8, 8))
    gamma[0::2, 0::2], gamma[1::2, 1::2] = np.eye(4) + x * mean, np.eye(4) + p * mean
    single = np.diag([1 + x, 1 + p])
    held = covariance_entropy_bits(gamma) - covariance_entropy_bits(single)
    assert dictionary_bits_cap(STRONG, candidates, 1) == pytest.approx(held, rel=1e-9)
    assert dictionary_bits_cap(STRONG, candidates, 10**6) == math.log2(5)
    assert dictionary_bits_cap(PassiveTap(tap_fraction=0.3), candidates, 10**6) == 0.0
    # An orthonormal dictionary is the prior of the stated cap: N bits of it per data value.
    stated = 16 * data_bits_server_any_measurement_cap(x, p, 2, 16)
    assert dictionary_bits_cap(STRONG, np.eye(16), 2) == pytest.approx(stated, rel=1e-9)


@pytest.mark.parametrize("name", RECEIVERS)
def test_counting_stays_within_its_bounds_when_a_dictionary_is_played(name: str) -> None:
    points = measure_counting(RECEIVERS[name], pictures(), rows=[4, 64, 1024], trials=40, seed=4)
    refuse_gains_above_bounds(counting=points)
    assert points[0].found < points[2].found
    assert points[2].bits > points[0].bits
    assert points[2].local_bits > 0.7 * points[2].local_bits_bound


def test_counting_beats_homodyning_when_the_gain_is_low() -> None:
    """At G = 1.1: 0.09 photons per row tell what homodyne detection drowns in vacuum noise."""
    candidates, rows, trials = pictures(), 150, 60
    x = WEAK.excess_noise_x_snu
    counted = count_found_by_photons(
        np.random.default_rng(5),
        candidates,
        rows=rows,
        excess_noise_x_snu=x,
        excess_noise_p_snu=x,
        trials=trials,
    )
    homodyned = count_found(
        np.random.default_rng(6), candidates, excess_noise_snu=x, rows=rows, trials=trials
    )
    assert counted > homodyned + 20


@pytest.mark.parametrize("photons", [0.01, 0.3, 5.0])
def test_probing_stays_within_its_bounds_when_the_light_is_any(photons: float) -> None:
    points = measure_probing(
        TAP, pictures(), probe_photons_per_mode=photons, rows=[4, 64, 512], trials=16, seed=7
    )
    refuse_gains_above_bounds(probing=points)
    assert points[2].overlap > points[0].overlap
    if photons > 0.1:
        # The probe tells more than the noise does, and comes near what is stated for it.
        assert points[2].bits > points[2].bits_without
        assert points[2].bits > 0.5 * points[2].bits_stated


def test_probe_finds_by_far_fewer_rows_than_the_noise_does_when_light_is_let_through() -> None:
    candidates = pictures()
    strongest = float(eigvalsh(candidates.T @ candidates / len(candidates))[-1])
    assert strongest > 0.3  # pictures are alike: the mean is a good first probe
    found = count_found_by_probing(
        np.random.default_rng(8),
        candidates,
        tap_fraction=0.5,
        probe_photons_per_mode=0.2,
        rows=64,
        trials=30,
    )
    without = count_found(
        np.random.default_rng(9),
        candidates,
        excess_noise_snu=TAP.excess_noise_x_snu,
        rows=64,
        trials=30,
    )
    assert found == 30
    assert without < 15


@pytest.mark.parametrize("receiver", [STRONG, TAP], ids=["amplifier", "tap"])
def test_network_gives_no_more_than_is_stated_when_it_is_extracted(receiver: Receiver) -> None:
    generator = np.random.default_rng(10)
    inputs = np.abs(generator.standard_normal((600, 24)))
    labels = (inputs[:, :12].sum(axis=1) > inputs[:, 12:].sum(axis=1)).astype(np.int64)
    teacher = fit_teacher(inputs[:400], labels[:400], hidden=16, seed=11)
    points = measure_model(
        receiver,
        teacher,
        inputs[:400],
        (inputs[400:], labels[400:]),
        photons_per_symbol=1.0,
        queries=[30, 3000],
        seed=12,
    )
    refuse_gains_above_bounds(models=points)
    few, many = points
    assert few.read.bits < many.read.bits
    assert few.agreement < many.agreement
    assert many.agreement > 0.8
    # The order of the units hides their weights from a student: it learns what they do.
    assert many.student.bits < many.read.bits
    assert many.student.bits - many.student_allowance < 0.15
