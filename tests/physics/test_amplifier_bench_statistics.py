"""The bench with an amplifier, field by field, against the receiver's law and the symbol tier.

The law is that of `sim_backend.receiver_law` with half the detectors' efficiency, since both
parties record heterodyne. Nothing is fitted: every number comes from the scene's data sheets.
Chance of failure: 14 normal scores beyond 6.5, below 2e-9 in all before the seeds were fixed.
"""

import math

import pytest
import torch

from drivers.backend import OpticalLink
from drivers.receivers import Amplifier
from sim_backend.receiver_law import receiver_law
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.amplifier_bench import bench_settings, open_amplifier_bench
from tests.blocks import block_of
from tests.physics.tier_frames import Estimate, Frames, Sent, fitted, frames_through, variance_of

INPUTS, ROWS, MODES, BLOCKS = 8, 1500, 8, 3
LIMIT = 6.5
SYSTEMATIC = 0.004
"""Relative: residual phase variance of 1e-3, timing, the shot noise's unit."""
GAINS = [1.5, 3.0]


def sample(link: OpticalLink, seed: int) -> Frames:
    """Public random frames, all returns measured in X."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(number: int) -> Sent:
        data = torch.randn(INPUTS, MODES, generator=generator)
        data /= torch.linalg.vector_norm(data, dim=1, keepdim=True)
        means = 2 * torch.randn(INPUTS, ROWS, MODES, generator=generator)
        block = block_of(number, inputs=INPUTS, rows=ROWS, modes=MODES)
        in_p = torch.zeros(INPUTS, ROWS, dtype=torch.bool)
        return Sent(block=block, data=data, means=means, in_p=in_p)

    return frames_through(link, map(drawn, range(BLOCKS)))


def moments(found: Frames) -> dict[str, Estimate]:
    """First and second moments of outcome and return."""
    gain, rest = fitted(found.products, found.outcomes)
    return_gain, rest_returned = fitted(found.means, found.returned)
    along = torch.einsum("fm,fm->f", rest_returned, found.data)
    across = rest_returned - along[:, None] * found.data
    count = along.numel()
    freedom = count * (MODES - 1)
    white = float(across.square().sum()) / freedom
    both = rest * along
    return {
        "outcome gain": gain,
        "outcome variance": variance_of(rest),
        "return gain": return_gain,
        "return variance along the data": variance_of(along),
        "return variance across the data": Estimate(
            value=white, deviation=white * math.sqrt(2 / freedom)
        ),
        "covariance": Estimate(
            value=float(both.mean()), deviation=float(both.std()) / math.sqrt(count)
        ),
    }


def worst_score(found: dict[str, Estimate], expected: dict[str, Estimate]) -> tuple[float, str]:
    scores = {
        name: abs(estimate.score(expected[name], systematic=SYSTEMATIC))
        for name, estimate in found.items()
    }
    name = max(scores, key=lambda key: scores[key])
    return scores[name], f"{name}: {found[name]} expected {expected[name]}"


@pytest.fixture(scope="module", params=GAINS, ids=lambda gain: f"gain {gain}")
def measured(request: pytest.FixtureRequest) -> tuple[Amplifier, dict[str, Estimate], LinkSettings]:
    gain: float = request.param
    opened = open_amplifier_bench(bench_settings(gain=gain), gain=gain, seed=8)
    settings = opened.link.settings
    client_noise = opened.link.settings.client.outcome_variance_snu
    efficiency = settings.server.detection_efficiency
    ideal = settings.receiver.outcome_variance_snu
    electronic = client_noise - 1 - efficiency * (ideal - 1)
    link = LinkSettings(
        receiver=settings.receiver,
        modes_per_frame=MODES,
        seed=9,
        device="cpu",
        forward_transmittance=settings.server.forward_transmittance,
        return_transmittance=settings.server.return_transmittance,
        client=DetectorSettings(efficiency=efficiency, electronic_noise_snu=electronic),
        server=DetectorSettings(
            efficiency=efficiency, electronic_noise_snu=settings.server.electronic_noise_snu
        ),
    )
    return settings.receiver, moments(sample(opened.link, seed=10)), link


def law_of(receiver: Amplifier, link: LinkSettings) -> dict[str, Estimate]:
    """The receiver's law behind and before the losses of the link."""
    law = receiver_law(receiver, link.client, torch.zeros(()), torch.ones(()))
    back = link.return_transmittance * link.server.efficiency
    floor = 1 + link.server.electronic_noise_snu
    covariance = float(law.beta_x * law.outcome_std) * math.sqrt(back)
    values = {
        "outcome gain": float(law.outcome_x) * math.sqrt(link.forward_transmittance),
        "outcome variance": float(law.outcome_std) ** 2,
        "return gain": math.sqrt(link.forward_transmittance * back),
        "return variance along the data": floor + back * float(law.excess_x),
        "return variance across the data": floor,
        "covariance": covariance,
    }
    return {name: Estimate(value=value, deviation=0.0) for name, value in values.items()}


def test_bench_follows_the_receivers_law_with_half_the_efficiency(
    measured: tuple[Amplifier, dict[str, Estimate], LinkSettings],
) -> None:
    receiver, found, link = measured
    score, text = worst_score(found, law_of(receiver, link))
    assert score < LIMIT, text


def test_bench_agrees_with_the_symbol_tier(
    measured: tuple[Amplifier, dict[str, Estimate], LinkSettings],
) -> None:
    _, found, link = measured
    score, text = worst_score(found, moments(sample(SymbolLink(link), seed=11)))
    assert score < LIMIT, text


def test_heterodyne_law_is_the_papers_formulas_with_half_the_efficiency() -> None:
    """Written out for G = 2 and efficiency 1/2, without the package's own formulas."""
    gain = 2.0
    law = law_of(
        Amplifier(gain=gain),
        LinkSettings(
            receiver=Amplifier(gain=gain),
            client=DetectorSettings(efficiency=0.5),
            server=DetectorSettings(efficiency=0.5),
        ),
    )
    # Variance V = (2 G^2 - 3 G + 2)/G = 2 is seen with efficiency 1/2 as (V + 1)/2.
    assert law["outcome variance"].value == pytest.approx(1.5)
    assert law["outcome gain"].value == pytest.approx(math.sqrt(0.5))
    # Excess 2 (1 - 1/G) = 1 in mode x, seen with efficiency 1/2.
    assert law["return variance along the data"].value == pytest.approx(1.5)
    # 2 (G - 1) sqrt((1 - 1/G)/G) = 1, with the root of both efficiencies.
    assert law["covariance"].value == pytest.approx(0.5)
