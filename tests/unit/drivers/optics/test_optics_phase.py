"""The phase track against dense Gaussian conditioning, a full smoother, and drawn walks.

Statistical limits are six or more standard deviations: each fails by chance below 2e-9, and the
seeds are fixed.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import PhaseError
from drivers.optics.phase import PhaseTrack, smoothed_variance, track_phase

RATE = 100e6
SPACING = 8
PREAMBLE = 511


def walk_of(linewidth_hz: float, slots: int, rng: np.random.Generator) -> NDArray[np.float64]:
    step = np.sqrt(2 * np.pi * linewidth_hz / RATE)
    return np.asarray(np.cumsum(step * rng.standard_normal(slots)) + 1.0)


def noisy(
    phase: NDArray[np.float64], amplitude: float, rng: np.random.Generator
) -> NDArray[np.complex64]:
    noise = rng.standard_normal(phase.size) + 1j * rng.standard_normal(phase.size)
    return np.asarray(amplitude * np.exp(1j * phase) + noise, dtype=np.complex64)


def tracked(
    phase: NDArray[np.float64], amplitude: float, rng: np.random.Generator, limit: float = 0.3
) -> PhaseTrack:
    """Track of a phase per slot whose first 511 slots are the preamble."""
    return track_phase(
        noisy(phase[PREAMBLE::SPACING], amplitude, rng),
        noisy(phase[:PREAMBLE], amplitude, rng),
        spacing=SPACING,
        noise_variance=1.0,
        symbol_rate_hz=RATE,
        variance_limit_rad2=limit,
    )


def errors_of(track: PhaseTrack, phase: NDArray[np.float64]) -> NDArray[np.float64]:
    difference = track.phase_rad - phase[PREAMBLE : PREAMBLE + track.phase_rad.size]
    return np.asarray(np.angle(np.exp(1j * difference)))


@pytest.mark.parametrize("walk", [1e-5, 1.26e-3, 0.02])
@pytest.mark.parametrize("pilot", [8e-4, 0.1])
@pytest.mark.parametrize("spacing", [2, 8, 16])
def test_smoothed_variance_is_that_of_dense_conditioning(
    walk: float, pilot: float, spacing: int
) -> None:
    pilots = 161 if walk * spacing / pilot > 0.01 else 1201
    places = np.arange(pilots) * spacing
    middle = places[pilots // 2] + np.arange(spacing)
    # A walk that begins far back with an unknown phase.
    known = walk * np.minimum.outer(places, places) + 1e3 + pilot * np.eye(pilots)
    cross = walk * np.minimum.outer(middle, places) + 1e3
    prior = walk * middle + 1e3
    wanted = prior - np.sum(cross * np.linalg.solve(known, cross.T).T, axis=1)
    np.testing.assert_allclose(smoothed_variance(walk, pilot, spacing), wanted, rtol=2e-3)


def test_track_is_the_full_smoother_when_the_walk_is_the_estimated_one() -> None:
    rng = np.random.default_rng(3)
    phase = walk_of(20e3, PREAMBLE + 8 * 600 + 1, rng)
    pilots = noisy(phase[PREAMBLE::SPACING], 30.0, rng)
    preamble = noisy(phase[:PREAMBLE], 30.0, rng)
    track = track_phase(pilots, preamble, spacing=SPACING, noise_variance=1.0, symbol_rate_hz=RATE)
    walk = 2 * np.pi * track.linewidth_hz / RATE * SPACING
    turn = 2 * np.pi * track.frequency_hz / RATE * SPACING
    index = np.arange(pilots.size)
    seen = np.unwrap(np.angle(pilots * np.exp(-1j * turn * index)))
    # Rauch, Tung and Striebel, step by step.
    means, variances = [seen[0]], [track.pilot_variance_rad2]
    for value in seen[1:]:
        predicted = variances[-1] + walk
        gain = predicted / (predicted + track.pilot_variance_rad2)
        means.append(means[-1] + gain * (value - means[-1]))
        variances.append((1 - gain) * predicted)
    smooth = means[-1]
    wanted = [smooth]
    for mean, variance in zip(means[-2::-1], variances[-2::-1], strict=True):
        smooth = mean + variance / (variance + walk) * (smooth - mean)
        wanted.append(smooth)
    got = track.phase_rad[::SPACING] - turn * index
    difference = np.angle(np.exp(1j * (got - np.array(wanted[::-1]))))
    assert np.max(np.abs(difference[20:])) < 1e-4
    between = 0.25 * track.phase_rad[16] + 0.75 * track.phase_rad[24]
    assert track.phase_rad[22] == pytest.approx(between, abs=1e-9)


@pytest.mark.parametrize(
    ("linewidth_hz", "amplitude"),
    [(100.0, 34.6), (2e3, 34.6), (20e3, 34.6), (200e3, 34.6), (20e3, 5.0), (200.0, 2.0)],
    ids=["0.1kHz", "2kHz", "20kHz", "200kHz", "20kHz-dim", "0.2kHz-very-dim"],
)
@pytest.mark.parametrize("offset_hz", [0.0, 60e3])
def test_track_predicts_its_error_and_the_linewidth(
    linewidth_hz: float, amplitude: float, offset_hz: float
) -> None:
    rng = np.random.default_rng(11)
    slots = PREAMBLE + 8 * 20_000 + 1
    phase = walk_of(linewidth_hz, slots, rng) + 2 * np.pi * offset_hz / RATE * np.arange(slots)
    track = tracked(phase, amplitude, rng)
    assert track.variance_rad2.shape == track.phase_rad.shape == (8 * 20_000 + 1,)
    errors = errors_of(track, phase)
    payload = np.arange(errors.size) % SPACING != 0
    predicted = float(np.mean(track.variance_rad2[payload]))
    # Errors stay alike over about the smoother's memory: 20,000 pilots are 500 or more draws.
    assert float(np.mean(errors[payload] ** 2)) == pytest.approx(
        predicted, rel=0.06 if amplitude > 3 else 0.3
    )
    assert track.mean_variance_rad2 == pytest.approx(predicted, rel=0.02)
    # A walk seen through noise: variance of a maximum-likelihood estimate from its innovations.
    ratio = 2 * np.pi * linewidth_hz / RATE * SPACING * amplitude**2
    spread = np.sqrt(2 / 20_000) * (1 + 4 / np.sqrt(min(ratio, 1.0)))
    assert track.linewidth_hz == pytest.approx(linewidth_hz, rel=6 * spread)
    assert track.pilot_amplitude == pytest.approx(amplitude, rel=6 / amplitude / np.sqrt(20_000))
    assert track.frequency_hz == pytest.approx(
        offset_hz, abs=6 * np.sqrt(linewidth_hz / (2 * np.pi * slots / RATE)) + 20
    )


def test_default_spacing_keeps_the_added_noise_below_a_hundredth() -> None:
    # 2000 photons, transmittance 0.3, heterodyne: X = 2 sqrt(600), recorded at 1/sqrt(2).
    amplitude = 2 * np.sqrt(600) / np.sqrt(2)
    rng = np.random.default_rng(5)
    phase = walk_of(20e3, PREAMBLE + 8 * 40_000 + 1, rng)
    track = tracked(phase, amplitude, rng)
    errors = errors_of(track, phase)
    quadrature = 2.0 * rng.standard_normal(errors.size)  # variance 4: one photon on average
    turned = quadrature * np.exp(1j * errors)
    assert float(np.var(turned.imag)) < 0.01
    left = turned.real - track.mean_factor * quadrature
    assert float(np.var(left)) < 1e-3
    gain = float(turned.real @ quadrature / (quadrature @ quadrature))
    assert gain == pytest.approx(track.mean_factor, abs=1e-4)
    assert track.mean_factor == pytest.approx(1 - 0.5 * 2.36e-3, abs=1e-4)
    walk = 2 * np.pi * 20e3 / RATE
    assert 4 * np.mean(smoothed_variance(walk, amplitude**-2, 8)[1:]) < 0.01
    assert 4 * np.mean(smoothed_variance(walk, amplitude**-2, 12)[1:]) > 0.01


def test_variance_rises_to_the_filters_at_the_last_pilot() -> None:
    rng = np.random.default_rng(6)
    track = tracked(walk_of(2e3, PREAMBLE + 8 * 2000 + 1, rng), 10.0, rng)
    walk = 2 * np.pi * track.linewidth_hz / RATE * SPACING
    ratio = walk / track.pilot_variance_rad2
    predicted = 0.5 * (ratio + np.sqrt(ratio**2 + 4 * ratio))
    wanted = predicted / (1 + predicted) * track.pilot_variance_rad2
    assert track.variance_rad2[-1] == pytest.approx(wanted, rel=1e-5)
    settled = smoothed_variance(walk / SPACING, track.pilot_variance_rad2, SPACING)
    np.testing.assert_allclose(track.variance_rad2[8000:8008], settled, rtol=1e-5)


def test_track_refuses_when_the_pilots_are_too_dim() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(PhaseError, match="too dim"):
        tracked(walk_of(1e3, PREAMBLE + 8 * 500 + 1, rng), 0.5, rng)


def test_track_refuses_when_the_linewidth_is_too_large() -> None:
    rng = np.random.default_rng(8)
    phase = walk_of(2e6, PREAMBLE + 8 * 2000 + 1, rng)
    with pytest.raises(PhaseError, match=r"cannot be followed.*linewidth 2\.?\d*e\+03 kHz.*dB"):
        tracked(phase, 34.6, rng, limit=0.05)


def test_track_refuses_when_the_phase_jumps() -> None:
    rng = np.random.default_rng(9)
    phase = walk_of(20e3, PREAMBLE + 8 * 2000 + 1, rng)
    phase[PREAMBLE + 8 * 1000 :] += 2.0
    with pytest.raises(PhaseError, match=r"jumps by .* at slot 7992 of the body"):
        tracked(phase, 34.6, rng)
