"""The bench with an amplifier, field by field, against the receiver's law and the symbol tier.

The law is that of `sim_backend.receiver_law` with half the detectors' efficiency, since both
parties record heterodyne. Nothing is fitted: every number comes from the scene's data sheets.
Chance of failure: 14 normal scores beyond 6.5, below 2e-9 in all before the seeds were fixed.
"""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from drivers.backend import OpticalLink
from drivers.receivers import Amplifier
from sim_backend.receiver_law import receiver_law
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.amplifier_bench import bench_settings, open_amplifier_bench
from tests.blocks import block_of

INPUTS, ROWS, MODES, BLOCKS = 8, 1500, 8, 3
LIMIT = 6.5
SYSTEMATIC = 0.004
"""Relative: residual phase variance of 1e-3, timing, the shot noise's unit."""
GAINS = [1.5, 3.0]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Frames through one tier, flat: along mode x, outcome and return."""

    products: Tensor
    outcomes: Tensor
    data: Tensor
    means: Tensor
    returned: Tensor


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its standard deviation."""

    value: float
    deviation: float


def sample(link: OpticalLink, seed: int) -> Sample:
    """Public random frames, all returns measured in X."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[tuple[Tensor, ...]] = []
    for number in range(BLOCKS):
        block = block_of(number, inputs=INPUTS, rows=ROWS, modes=MODES)
        data = torch.randn(INPUTS, MODES, generator=generator)
        data /= torch.linalg.vector_norm(data, dim=1, keepdim=True)
        means = 2 * torch.randn(INPUTS, ROWS, MODES, generator=generator)
        link.client.load(block, data)
        link.server.send(block, means)
        outcomes = link.client.measure(block)
        returned = link.server.collect_full(block, torch.zeros(INPUTS, ROWS, dtype=torch.bool))
        products = torch.einsum("irm,im->ir", means, data)
        spread = data[:, None].expand(-1, ROWS, -1)
        parts.append((products, outcomes, spread, means, returned))
    flat = [
        torch.cat([part.flatten(0, 1) for part in column]) for column in zip(*parts, strict=True)
    ]
    products, outcomes, data, means, returned = (one.double() for one in flat)
    return Sample(products=products, outcomes=outcomes, data=data, means=means, returned=returned)


def moments(found: Sample) -> dict[str, Estimate]:
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
        "outcome variance": variance(rest),
        "return gain": return_gain,
        "return variance along the data": variance(along),
        "return variance across the data": Estimate(
            value=white, deviation=white * math.sqrt(2 / freedom)
        ),
        "covariance": Estimate(
            value=float(both.mean()), deviation=float(both.std()) / math.sqrt(count)
        ),
    }


def fitted(known: Tensor, found: Tensor) -> tuple[Estimate, Tensor]:
    energy = float(known.square().sum())
    gain = float((known * found).sum()) / energy
    rest = found - gain * known
    return Estimate(value=gain, deviation=math.sqrt(float(rest.var()) / energy)), rest


def variance(values: Tensor) -> Estimate:
    found = float(values.var())
    return Estimate(value=found, deviation=found * math.sqrt(2 / (values.numel() - 1)))


def worst_score(found: dict[str, Estimate], expected: dict[str, Estimate]) -> tuple[float, str]:
    scores = {}
    for name, estimate in found.items():
        other = expected[name]
        room = SYSTEMATIC * abs(other.value)
        difference = max(0.0, abs(estimate.value - other.value) - room)
        scores[name] = difference / math.hypot(estimate.deviation, other.deviation)
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
