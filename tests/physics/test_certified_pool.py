"""Bounds over sessions of unlike brightness: against explicit attacks, and against chance."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.leakage.certified import (
    NoiseDependence,
    ServerTrust,
    TestedQuadrature,
    certification_design,
    certified_weight_bits,
)
from protocol.leakage.certified_memory import certified_bits_with_memory
from protocol.leakage.certified_pool import TestedLight, pooled_weight_bits
from protocol.leakage.copies import weight_bits_with_memory
from protocol.leakage.covariance import covariance_entropy_bits
from protocol.leakage.general_bound import (
    ReturnedChannel,
    weight_bits_general,
    weight_bits_general_untested,
)
from tests.physics.copy_attacks import apart, random_unitary

Array = NDArray[np.float64]

HONEST = ReturnedChannel(gain_x=1.0, gain_p=1.0, excess_noise_x_snu=0.004, excess_noise_p_snu=0.004)


def sums(
    symbols: int,
    modulation: float,
    gain: float,
    excess: float,
    trust: ServerTrust,
    rng: np.random.Generator | None = None,
) -> TestedQuadrature:
    """As recorded by a detector; of chance where there is a generator, else what is expected."""
    eta = trust.efficiency
    recorded, variance = math.sqrt(eta) * gain, 1 + trust.electronic_noise_snu + eta * excess
    energy, fitted, degrees = symbols * modulation, 0.0, float(symbols)
    if rng is not None:
        energy = modulation * float(rng.chisquare(symbols)) if modulation else 0.0
        degrees = float(rng.chisquare(symbols - 1))
        fitted = float(rng.normal()) * math.sqrt(variance / energy) if energy else 0.0
    off = recorded + fitted - 1.0
    return TestedQuadrature(
        symbols=symbols,
        sent_energy_snu=energy,
        projection_snu=energy * (recorded + fitted),
        residual_energy_snu=variance * degrees + off**2 * energy,
        reference_gain=1.0,
    )


def light(
    copies: int,
    modulation: float,
    symbols: int,
    channel: ReturnedChannel = HONEST,
    trust: ServerTrust | None = None,
    rng: np.random.Generator | None = None,
) -> TestedLight:
    own, e_p = trust or ServerTrust(), channel.excess_noise_p_snu
    assert e_p is not None
    return TestedLight(
        copies=copies,
        modulation_snu=modulation,
        expected=HONEST,
        dither_p_snu=0.0,
        trust=own,
        dependence=NoiseDependence(),
        tested_x=sums(symbols, modulation, channel.gain_x, channel.excess_noise_x_snu, own, rng),
        tested_p=sums(symbols, 0.0, channel.gain_p, e_p, own, rng),
    )


def merged(lights: list[tuple[int, float, ReturnedChannel]], total: float) -> ReturnedChannel:
    """The merged return of copies, modulation of a copy and channel each, of all that was sent."""
    photons = [copies * modulation for copies, modulation, _ in lights]
    share = [amount / sum(photons) for amount in photons]
    dimmed = math.sqrt(sum(photons) / total)

    def mean(name: str) -> float:
        values = [float(getattr(one, name)) for _, _, one in lights]
        return math.fsum(w * value for w, value in zip(share, values, strict=True))

    return ReturnedChannel(
        gain_x=dimmed * mean("gain_x"),
        gain_p=dimmed * mean("gain_p"),
        excess_noise_x_snu=mean("excess_noise_x_snu"),
        excess_noise_p_snu=mean("excess_noise_p_snu"),
    )


@pytest.mark.parametrize("seed", range(12))
def test_pooled_channel_bounds_every_attack_when_copies_differ_in_brightness(seed: int) -> None:
    """Each returned copy meets ancillas of its own; the rest is kept; all photons differ.

    Gains and noises weigh by photons, as in the certificate. Deterministic.
    """
    rng = np.random.default_rng(seed)
    copies = returned = int(rng.integers(2, 4))
    returned = int(rng.integers(1, copies + 1))
    unitary = apart(rng, copies, returned, 0.25)
    amplitudes = np.sqrt(rng.uniform(0.05, 1.5, copies))
    covariance = unitary @ unitary.T
    response = unitary[:, 0 : 2 * copies : 2] @ amplitudes
    kept = covariance[2 * returned :, 2 * returned :]
    lit = kept + np.outer(response[2 * returned :], response[2 * returned :])
    bits = covariance_entropy_bits(lit) - covariance_entropy_bits(kept)

    x, p = slice(0, 2 * returned, 2), slice(1, 2 * returned, 2)
    own, total = covariance.diagonal(), float((amplitudes**2).sum())
    photons = amplitudes[:returned] ** 2
    weights = photons / photons.sum()
    gain = float(weights @ (response[x] / amplitudes[:returned]))
    seen = ReturnedChannel(
        gain_x=abs(gain) * math.sqrt(photons.sum() / total),
        excess_noise_x_snu=float(weights @ (own[x] - 1)),
        # What X moves in P is noise to the tests, who know of no such gain.
        excess_noise_p_snu=float(weights @ (own[p] - 1 + response[p] ** 2)),
    )
    assert bits <= weight_bits_general(total, 0.0, seen) + 1e-9


def test_pooled_gain_weighs_by_photons_when_a_bright_session_is_tapped() -> None:
    """Half of a bright copy is kept and none of a dim one: with other weights it would not show."""
    bright, dim, kept = 1.5, 0.05, 0.5
    lost = replace(HONEST, gain_x=math.sqrt(1 - kept), gain_p=math.sqrt(1 - kept))
    quiet = {"excess_noise_x_snu": 0.0, "excess_noise_p_snu": 0.0}
    lights = [(1, bright, replace(lost, **quiet)), (1, dim, replace(HONEST, **quiet))]
    stolen = weight_bits_general_untested(kept * bright)
    seen = merged(lights, bright + dim)
    bound = weight_bits_general(bright + dim, 0.0, seen)
    assert stolen <= bound <= 1.01 * stolen
    symbols = 10**13
    found = pooled_weight_bits(
        [light(*one[:2], symbols, one[2]) for one in lights],
        modulation_snu=bright + dim,
        complex_encoding=False,
        failure=1e-6,
    )
    assert found is not None
    assert stolen <= found.certified.bits_per_symbol <= 1.02 * stolen
    alike = replace(seen, gain_x=(lights[0][2].gain_x + 1) / 2)
    assert weight_bits_general(bright + dim, 0.0, alike) < 0.8 * stolen


@pytest.mark.parametrize("seed", range(8))
def test_channel_with_memory_bounds_every_attack_when_copies_differ_in_brightness(
    seed: int,
) -> None:
    """Any unitary on all copies and two ancillas: gain by photons, noise by copies."""
    rng = np.random.default_rng(100 + seed)
    copies = 3
    unitary = random_unitary(rng, copies + 2, 0.08)
    amplitudes = np.sqrt(rng.uniform(0.05, 1.5, copies))
    covariance = unitary @ unitary.T
    response = unitary[:, 0 : 2 * copies : 2] @ amplitudes
    kept = covariance[2 * copies :, 2 * copies :]
    lit = kept + np.outer(response[2 * copies :], response[2 * copies :])
    bits = covariance_entropy_bits(lit) - covariance_entropy_bits(kept)
    own = covariance.diagonal()
    # One session per copy: each has a regression of its own.
    e_x = float(own[0 : 2 * copies : 2].mean() - 1)
    e_p = float((own[1 : 2 * copies : 2] + response[1 : 2 * copies : 2] ** 2).mean() - 1)
    total = float((amplitudes**2).sum())
    seen = ReturnedChannel(
        gain_x=abs(float(amplitudes @ response[0 : 2 * copies : 2])) / total,
        excess_noise_x_snu=e_x,
        excess_noise_p_snu=e_p,
    )
    assert bits <= weight_bits_with_memory(total / copies, 0.0, seen, copies) + 1e-9


def test_pooled_bits_are_the_sessions_own_when_all_light_is_one_session() -> None:
    alone = light(50, 0.4, 10**5)
    found = pooled_weight_bits([alone], modulation_snu=20.0, complex_encoding=False, failure=1e-6)
    design = certification_design(
        HONEST,
        modulation_x_snu=0.4,
        modulation_p_snu=0.0,
        copies=50,
        symbols_x=10**5,
        symbols_p=10**5,
        failure=1e-6,
    )
    certified = certified_weight_bits(design, alone.tested_x, alone.tested_p)
    assert found is not None
    assert certified is not None
    assert found.certified.bits_per_symbol == pytest.approx(certified.bits_per_symbol, rel=1e-12)
    remembered = certified_bits_with_memory(design, alone.tested_x, alone.tested_p)
    assert found.with_memory_bits == pytest.approx(remembered, rel=1e-12)


def test_pooled_bits_are_near_the_asymptotic_ones_when_many_lights_are_long() -> None:
    """Two brightnesses, two detectors and kept light: the merged channel, found to 3 %."""
    dim = replace(HONEST, gain_x=0.9, gain_p=0.9)
    detectors = (ServerTrust(), ServerTrust(efficiency=0.7, electronic_noise_snu=0.1))
    lights = [light(5, 0.2, 10**9), light(3, 0.5, 10**9, dim, detectors[1])]
    total = 1.2 * sum(one.light_snu for one in lights)
    truth = weight_bits_general(total, 0.0, merged([(5, 0.2, HONEST), (3, 0.5, dim)], total))
    found = pooled_weight_bits(lights, modulation_snu=total, complex_encoding=False, failure=1e-6)
    assert found is not None
    assert truth < found.certified.bits_per_symbol < 1.03 * truth
    assert found.returned_share == pytest.approx(1 / 1.2)


def test_pooled_bits_contain_the_truth_when_a_thousand_sequences_of_sessions_are_drawn() -> None:
    """At a failure of 0.01 of 1000 sequences: more than 45 misses have a probability below 1e-12.

    Three lights that differ in brightness, detector and channel; one is tapped. The last is too
    short for an interval of its own and has to count as kept.
    """
    rng, failure = np.random.default_rng(11), 0.01
    tapped = replace(HONEST, gain_x=0.95, gain_p=0.95)
    trusts = (ServerTrust(), ServerTrust(efficiency=0.8, electronic_noise_snu=0.05), ServerTrust())
    channels = (HONEST, tapped, HONEST)
    shape = ((6, 0.3, 4000), (3, 0.8, 2000), (1, 0.3, 40))
    total = sum(copies * modulation for copies, modulation, _ in shape)
    known = [(shape[i][0], shape[i][1], channels[i]) for i in (0, 1)]
    truth = weight_bits_general(total, 0.0, merged(known, total))
    misses = 0
    for _ in range(1000):
        lights = [
            light(*one, channel, trust, rng)
            for one, channel, trust in zip(shape, channels, trusts, strict=True)
        ]
        found = pooled_weight_bits(
            lights, modulation_snu=total, complex_encoding=False, failure=failure
        )
        assert found is not None
        assert found.lights == 2
        misses += found.certified.bits_per_symbol < truth
        assert found.with_memory_bits >= found.certified.bits_per_symbol
    assert misses <= 45


def test_pooled_bits_are_refused_when_more_came_back_than_was_sent() -> None:
    with pytest.raises(ConfigurationError, match=r"20 SNU of modulation came back of 19"):
        pooled_weight_bits(
            [light(50, 0.4, 1000)], modulation_snu=19.0, complex_encoding=False, failure=1e-6
        )


def test_pooled_bits_are_none_when_no_light_is_long_enough() -> None:
    short = light(1, 0.4, 30)
    assert (
        pooled_weight_bits([short], modulation_snu=0.4, complex_encoding=False, failure=1e-6)
        is None
    )
