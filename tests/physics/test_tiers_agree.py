"""The symbol tier and the waveform tier agree: the same frames through both.

Both tiers get the same means and data. The symbol tier is told what the bench was calibrated to
(transmittances, half the efficiency for the heterodyne record, electronic noise weighted with each
vector's peak-to-average ratio, the phase error that the receiver predicts); it is not fitted. What
is compared are the first and second moments of outcome and return, and their covariance.

All scores are normal within the symbols' statistics; a limit of 6.5 has the probability 8e-11.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from drivers.backend import OpticalLink
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.reference_settings import ReferenceSettings
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.blocks import block_of
from tests.physics.tier_frames import Estimate, Frames, Sent, fitted, frames_through, variance_of
from tests.waveform_bench import WaveformBench, open_bench, reference_settings

INPUTS, ROWS, MODES = 64, 24, 65
SCORE_LIMIT = 6.5


def moments(found: Frames) -> dict[str, Estimate]:
    """First and second moments; deviations are those of normal values."""
    gain, left = fitted(found.products, found.outcomes)
    x, p = ~found.in_p, found.in_p
    return_gain, left_x = fitted(found.means[x], found.returned[x])
    values_p = found.returned[p]
    both = left[x] * (left_x * found.data[x]).sum(1)
    return {
        "outcome gain": gain,
        "outcome variance": variance_of(left),
        "return gain": return_gain,
        "return variance X": variance_of(left_x),
        "return variance P": variance_of(values_p),
        "covariance": Estimate(
            value=float(both.mean()), deviation=float(both.std()) / math.sqrt(both.numel())
        ),
        "return mean P": Estimate(
            value=float(values_p.mean()),
            # What leaks through the modulator is known as well as the vacuum slots, of which
            # there is one per 31 symbols, tell its mean.
            deviation=float(values_p.std())
            * math.hypot(values_p.numel() ** -0.5, (found.returned.numel() / 31) ** -0.5),
        ),
    }


def vectors(generator: torch.Generator) -> Tensor:
    """Unit vectors that all have the same peak-to-average ratio: one pattern in other orders."""
    pattern = torch.linspace(0.2, 1.0, MODES)
    rows = torch.stack([pattern[torch.randperm(MODES, generator=generator)] for _ in range(INPUTS)])
    signs = torch.randint(0, 2, rows.shape, generator=generator) * 2 - 1
    return torch.as_tensor(rows * signs / pattern.norm())


def peak_to_average() -> float:
    pattern = torch.linspace(0.2, 1.0, MODES)
    return float(MODES * pattern.max() ** 2 / pattern.square().sum())


def through(link: OpticalLink, blocks: int, *, mu: float, seed: int = 11) -> Frames:
    """Public frames through a link; the same for every link."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(index: int) -> Sent:
        data = vectors(generator)
        means = 2 * math.sqrt(mu) * torch.randn(INPUTS, ROWS, MODES, generator=generator)
        in_p = torch.rand(INPUTS, ROWS, generator=generator) < 0.5
        block = block_of(index, inputs=INPUTS, rows=ROWS, modes=MODES)
        return Sent(block=block, data=data, means=means, in_p=in_p)

    return frames_through(link, map(drawn, range(blocks)))


def symbol_tier(bench: WaveformBench) -> SymbolLink:
    """The symbol tier with what the bench is calibrated to and what its receivers say."""
    link = bench.link
    server, client = link.settings.server, link.settings.client
    tap = link.settings.receiver.tap_fraction
    seen = [link.client.last, link.server.last]
    errors = [0.0 if one is None else one.phase.mean_variance_rad2**0.5 for one in seen]
    return SymbolLink(
        LinkSettings(
            receiver=link.settings.receiver,
            modes_per_frame=MODES,
            forward_transmittance=server.forward_transmittance,
            return_transmittance=server.return_transmittance,
            client=DetectorSettings(
                efficiency=client.signal_gain**2 / tap / server.forward_transmittance,
                electronic_noise_snu=client.electronic_noise_snu * peak_to_average(),
                phase_error_rad=errors[0],
                phase_memory_frames=0.0,
            ),
            server=DetectorSettings(
                efficiency=server.detection_efficiency,
                electronic_noise_snu=server.electronic_noise_snu,
                phase_error_rad=errors[1],
                phase_memory_frames=0.0,
            ),
            seed=3,
            device="cpu",
        )
    )


def compare(blocks: int, *, mu: float, settings: ReferenceSettings) -> None:
    bench = open_bench(settings, modes_per_frame=MODES)
    waveform = moments(through(bench.link, blocks, mu=mu))
    symbol = moments(through(symbol_tier(bench), blocks, mu=mu))
    print(f"\n{blocks * INPUTS * ROWS * MODES:,} symbols, mu = {mu:g}")
    for name, found in waveform.items():
        other = symbol[name]
        print(
            f"{name:18} waveform {found.value:+.5f} +- {found.deviation:.5f}  "
            f"symbol {other.value:+.5f} +- {other.deviation:.5f}  score {found.score(other):+.1f}"
        )
    scores = {name: found.score(symbol[name]) for name, found in waveform.items()}
    assert {name: score for name, score in scores.items() if not abs(score) < SCORE_LIMIT} == {}


def test_tiers_agree_when_a_few_blocks_are_sent() -> None:
    compare(2, mu=1.0, settings=reference_settings())


@pytest.mark.slow
@pytest.mark.parametrize("tap", [0.5, 0.1], ids=["tap-0.5", "tap-0.1"])
def test_tiers_agree_when_a_million_symbols_are_sent(tap: float) -> None:
    compare(11, mu=1.0, settings=reference_settings(tap=tap))


def narrow(settings: ReferenceSettings, linewidth_hz: float) -> ReferenceSettings:
    """The scene with other linewidths."""

    def laser(one: LaserSettings) -> LaserSettings:
        return replace(one, linewidth_hz=linewidth_hz)

    return replace(
        settings,
        server_laser=laser(settings.server_laser),
        client_oscillator_laser=laser(settings.client_oscillator_laser),
        server_oscillator_laser=laser(settings.server_oscillator_laser),
    )


def phase_variance(sample: Frames) -> Estimate:
    """Variance of the phase error, from what bright X leaves in P: <p^2 | q> = N + v g^2 q^2."""
    x, p = ~sample.in_p, sample.in_p
    gain, _ = fitted(sample.means[x], sample.returned[x])
    energy = (sample.means[p] * gain.value).square().flatten().numpy()
    squares = sample.returned[p].square().flatten().numpy()
    slope, offset = np.polyfit(energy, squares, 1)
    # Neighbours share their pilots and err together: frames are the independent units.
    left = ((squares - slope * energy - offset) * (energy - energy.mean())).reshape(-1, MODES)
    deviation = float(np.sqrt((left.sum(1) ** 2).sum()) / ((energy - energy.mean()) ** 2).sum())
    return Estimate(value=float(slope), deviation=deviation)


def test_phase_tracking_adds_less_than_a_hundredth_at_10_khz() -> None:
    # Bright symbols show the phase error well; it does not depend on them.
    found = {}
    for linewidth_hz in (0.0, 10e3):
        bench = open_bench(narrow(reference_settings(), linewidth_hz), modes_per_frame=MODES)
        sample = through(bench.link, 2, mu=60.0)
        seen = bench.link.server.last
        assert seen is not None
        found[linewidth_hz] = phase_variance(sample)
        predicted = seen.phase.mean_variance_rad2
        server = bench.link.settings.server
        passed = 0.5 * server.forward_transmittance * server.return_transmittance
        at_detector = 4 * passed * server.detection_efficiency
        print(
            f"\nlinewidth {linewidth_hz / 1e3:g} kHz each: phase variance "
            f"{found[linewidth_hz].value:.5f} +- {found[linewidth_hz].deviation:.5f} rad^2, "
            f"predicted {predicted:.5f}; at mu = 1 it adds {at_detector * predicted:.5f} SNU to P"
        )
        assert abs(found[linewidth_hz].value - predicted) < (
            SCORE_LIMIT * found[linewidth_hz].deviation + 0.1 * predicted
        )
    added = found[10e3].value - found[0.0].value
    deviation = math.hypot(found[10e3].deviation, found[0.0].deviation)
    # X has a mean square of 4 SNU at mu = 1 at the launch, and what the path leaves of it.
    print(
        f"10 kHz linewidth adds {at_detector * added:.5f} +- {at_detector * deviation:.5f} SNU at "
        f"the detector, {4 * added:.5f} +- {4 * deviation:.5f} referred to the launch"
    )
    assert at_detector * (added + SCORE_LIMIT * deviation) < 0.01
