"""Homodyne detection on the waveform tier against its law and against heterodyne detection.

Every bound is six standard deviations of the estimate: each fails by chance with 2e-9 per number.
"""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from drivers.backend import Block, ClientOptics, OpticalLink
from drivers.errors import PhaseError, TraceError
from drivers.optics.homodyne_lock import LockLimits
from drivers.receivers import PassiveTap
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.blocks import block_of
from tests.homodyne_bench import QUIET, HomodyneBench, homodyne_scene, open_homodyne_bench
from tests.waveform_bench import open_bench

SIGMAS = 6.0
ROWS, MODES, INPUTS, BLOCKS = 64, 32, 24, 3
TAP = 0.5
QUADRATURE_SNU = 5.0


def block_at(index: int, inputs: int = INPUTS) -> Block:
    return block_of(index, inputs=inputs, rows=ROWS, modes=MODES)


def pattern(size_snu: float) -> tuple[Tensor, Tensor]:
    """Means `(1, rows, modes)` and data `(inputs, modes)` with no sign in common."""
    generator = torch.Generator().manual_seed(5)
    means = size_snu * torch.randn(1, ROWS, MODES, generator=generator)
    data = torch.randn(INPUTS, MODES, generator=generator)
    norms: Tensor = torch.linalg.vector_norm(data, dim=1, keepdim=True)
    return means, data / norms


class Transmitted:
    """All that a homodyne bench recorded of a pattern, in float64."""

    def __init__(self, bench: HomodyneBench, size_snu: float) -> None:
        self.link = bench.link
        self.means, self.data = pattern(size_snu)
        outcomes, returned, on_p = [], [], []
        for index in range(BLOCKS):
            block = block_at(index)
            self.link.client.load(block, self.data)
            self.link.server.send(block, self.means)
            outcomes.append(self.link.client.measure(block))
            chosen = self.link.random_bits.flips("", INPUTS, ROWS)
            returned.append(self.link.server.collect_full(block, chosen))
            on_p.append(chosen[:, 0])
        self.outcomes = torch.cat(outcomes).double()
        self.returned = torch.cat(returned).double()
        self.on_p = torch.cat(on_p)
        self.products = (self.data @ self.means[0].T).double().repeat(BLOCKS, 1)

    @property
    def round_trip_gain(self) -> float:
        info = self.link.server.describe()
        power = info.forward_transmittance * (1 - TAP) * info.return_transmittance
        return math.sqrt(power * info.detection_efficiency)


@cache
def bright() -> Transmitted:
    return Transmitted(open_homodyne_bench(homodyne_scene(tap=TAP)), QUADRATURE_SNU)


@cache
def dark() -> Transmitted:
    return Transmitted(open_homodyne_bench(homodyne_scene(tap=TAP), seed=2), 0.0)


def signal_to_noise(outcomes: Tensor, products: Tensor) -> tuple[float, float]:
    """Squared slope over residual variance, and its relative standard deviation."""
    energy = float(products.square().sum())
    slope = float((outcomes * products).sum()) / energy
    variance = float((outcomes - slope * products).var())
    error = math.hypot(2 * math.sqrt(variance / energy) / slope, math.sqrt(2 / outcomes.numel()))
    return slope**2 / variance, error


def heterodyne_outcomes(client: ClientOptics, link: OpticalLink) -> tuple[Tensor, Tensor]:
    means, data = pattern(QUADRATURE_SNU)
    block = block_at(0)
    outcomes, products = [], (data @ means[0].T).double()
    for index in range(BLOCKS):
        block = block_at(index)
        client.load(block, data)
        link.server.send(block, means)
        outcomes.append(client.measure(block).double())
    return torch.cat(outcomes), products.repeat(BLOCKS, 1)


def test_client_has_twice_the_signal_to_noise_of_heterodyne_at_the_same_photons() -> None:
    settings = ReferenceSettings(tap=TAP, forward_fibre=QUIET, return_fibre=QUIET)
    link = open_bench(settings).link
    heterodyne = signal_to_noise(*heterodyne_outcomes(link.client, link))
    homodyne = signal_to_noise(bright().outcomes, bright().products)
    # Noise above the vacuum's is each detector's own, and what the tracking leaves of the phase.
    quiet = link.client.describe().outcome_variance_snu
    own = bright().link.client.describe().outcome_variance_snu
    expected = 2 * quiet / own
    error = math.hypot(homodyne[1], heterodyne[1])
    assert abs(homodyne[0] / heterodyne[0] / expected - 1) < SIGMAS * error
    assert homodyne[0] / heterodyne[0] > 1.5  # and not the same


def test_client_outcome_follows_the_receivers_law() -> None:
    found, law = bright(), PassiveTap(tap_fraction=TAP)
    energy = float(found.products.square().sum())
    slope = float((found.outcomes * found.products).sum()) / energy
    noise = found.link.client.describe().outcome_variance_snu
    values = found.link.settings
    kept = values.server.forward_transmittance * values.server.detection_efficiency
    assert abs(slope / (law.signal_gain * math.sqrt(kept)) - 1) < 2e-3 + SIGMAS * math.sqrt(
        noise / energy
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_client_outcome_of_equal_entries_is_not_taken_for_the_oscillators_unbalance(
    sign: float,
) -> None:
    # Light that is the same in every slot is what a fit of the common mode could swallow. 40 dB is
    # a poor detector: its unbalance is 200 shot-noise units.
    scene = homodyne_scene(tap=TAP)
    poor = replace(scene.client_detector, common_mode_rejection_db=40.0)
    link = open_homodyne_bench(replace(scene, client_detector=poor)).link
    data = torch.full((INPUTS, MODES), sign / math.sqrt(MODES))
    # Half the level in half of the slots, so that the oscillator's power changes.
    data[:, ::2] *= 0.5
    data /= torch.linalg.vector_norm(data, dim=1, keepdim=True)
    means = torch.full((1, ROWS, MODES), QUADRATURE_SNU)
    link.client.load(block_at(0), data)
    link.server.send(block_at(0), means)
    outcomes = link.client.measure(block_at(0)).double()
    expected = link.client.describe().signal_gain * float(data[0] @ means[0, 0])
    error = math.sqrt(1.1 / outcomes.numel())
    assert abs(float(outcomes.mean()) - expected) < 2e-3 * abs(expected) + SIGMAS * error
    # Nothing that all rows of a burst share: their means scatter as those of 64 values.
    bursts = outcomes.mean(1)
    assert float(bursts.var()) * ROWS < 1.1 * (1 + SIGMAS * math.sqrt(2 / (INPUTS - 1)))


def test_client_outcome_has_the_variance_of_vacuum_without_light() -> None:
    found = dark()
    electronic = found.link.settings.client.electronic_noise_snu
    # Gaussian data of 32 modes: the largest square is about five times the mean.
    peak = float((found.data.abs().amax(1) ** 2 * MODES).mean())
    variance = float(found.outcomes.var())
    # The fit of the oscillator's part takes 8 of some 2600 values.
    assert abs(variance - 1 - electronic * peak) < 0.01 + SIGMAS * math.sqrt(
        2 / found.outcomes.numel()
    )


@pytest.mark.parametrize("quadrature", ["X", "P"])
def test_returned_vacuum_has_variance_one_in_either_quadrature(quadrature: str) -> None:
    found = dark()
    values = found.returned[found.on_p == (quadrature == "P")]
    electronic = found.link.settings.server.electronic_noise_snu
    # The level of every burst is known from its vacuum slots, 512 or more.
    expected = (1 + electronic) * (1 + 1 / 512)
    assert values.shape[0] > 8
    assert abs(float(values.square().mean()) - expected) < 1e-3 + SIGMAS * math.sqrt(
        2 / values.numel()
    )


def test_returned_mean_appears_in_x_alone() -> None:
    found = bright()
    means = found.means.double().expand(found.returned.shape)
    energy = means[~found.on_p].square().sum()
    x = float((found.returned * means)[~found.on_p].sum() / energy)
    error = 1.1 / math.sqrt(float(energy))
    assert abs(x / found.round_trip_gain - 1) < 5e-3 + SIGMAS * error / found.round_trip_gain
    # In P there is the sine of the phase error, burst by burst: within the lock's limit each.
    bursts = found.returned[found.on_p], means[found.on_p]
    p = (bursts[0] * bursts[1]).sum((1, 2)) / bursts[1].square().sum((1, 2)) / found.round_trip_gain
    limit = found.link.settings.limits.largest_step_rad
    assert float(p.abs().max()) < limit
    assert float(p.square().mean()) < limit**2 / 4


def test_outcome_and_returned_x_do_not_covary_as_the_passive_tap_demands() -> None:
    found = bright()
    assert PassiveTap(tap_fraction=TAP).outcome_return_covariance_x_snu == 0
    slope = float((found.outcomes * found.products).sum() / found.products.square().sum())
    noise = (found.outcomes - slope * found.products)[~found.on_p]
    data = found.data.double().repeat(BLOCKS, 1)[~found.on_p]
    mean = found.round_trip_gain * found.means.double()
    returned = ((found.returned[~found.on_p] - mean) * data[:, None]).sum(-1)
    product = noise * returned
    assert abs(float(product.mean())) < SIGMAS * float(product.std()) / math.sqrt(product.numel())


def test_lock_refuses_fibres_whose_phase_moves_too_fast() -> None:
    fast = replace(QUIET, thermal_phase_rad_per_sqrt_s=10.0)
    told: list[str] = []
    bench = open_homodyne_bench(
        homodyne_scene(tap=TAP, fibre=fast), calibration_samples=1 << 16, on_failure=told.append
    )
    means, data = pattern(1.0)
    bench.link.client.load(block_at(0), data)
    with pytest.raises(PhaseError, match="drift is too fast to be held"):
        bench.link.server.send(block_at(0), means)
    assert len(told) == 1
    assert not bench.link.server.lock.is_acquired


def test_lock_holds_a_usual_laser_over_a_kilometre_when_the_oscillators_path_matches() -> None:
    # 10 kHz over 2 km would leave 0.6 rad^2.
    spool = replace(QUIET, length_m=1000.0)
    matched = homodyne_scene(
        tap=TAP, fibre=spool, linewidth_hz=10e3, frequency_drift_hz=1e6, matched=True
    )
    link = open_homodyne_bench(matched, calibration_samples=1 << 18).link
    means, data = pattern(QUADRATURE_SNU)
    link.client.load(block_at(0), data)
    link.server.send(block_at(0), means)
    outcomes = link.client.measure(block_at(0)).double()
    products = (data @ means[0].T).double()
    energy = float(products.square().sum())
    slope = float((outcomes * products).sum()) / energy
    gain = link.client.describe().signal_gain
    assert abs(slope / gain - 1) < 5e-3 + SIGMAS * math.sqrt(1.2 / energy) / gain
    assert link.server.lock.residual_rad < 0.08


def test_lock_refuses_a_wide_laser_over_a_long_path() -> None:
    # 2 pi 100 kHz 2 us: a phase of about 1 rad at random from burst to burst.
    wide = homodyne_scene(tap=TAP, linewidth_hz=100e3)
    bench = open_homodyne_bench(wide, calibration_samples=1 << 16)
    means, data = pattern(1.0)
    bench.link.client.load(block_at(0), data)
    with pytest.raises(TraceError, match=r"narrower laser|laser is narrow enough"):
        bench.link.server.send(block_at(0), means)


def test_lock_refuses_too_few_photons() -> None:
    bench = open_homodyne_bench(
        homodyne_scene(tap=TAP),
        pilot_photons=40.0,
        calibration_samples=1 << 16,
        limits=LockLimits(largest_uncertainty_rad=2e-3),
    )
    means, data = pattern(0.5)
    bench.link.client.load(block_at(0), data)
    with pytest.raises(PhaseError, match="too few photons"):
        bench.link.server.send(block_at(0), means)
