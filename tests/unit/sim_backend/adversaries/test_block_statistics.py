"""The draws of the tests' sums against analytic moments and against the modes behind them.

Score limits of 6.5 have the probability 8e-11 each; Kolmogorov-Smirnov tests are cut at 1e-12.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from drivers.backend import Block
from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.adversary import Adversary, return_behaviour
from sim_backend.adversaries.block_statistics import BlockShape, draw_blocks
from sim_backend.adversaries.client_conduct import ReturnsNothing
from sim_backend.adversaries.clients import (
    InterceptsAndResends,
    InterceptsOneMode,
    KeepsLight,
    MeasuresOnlyX,
    TapsAndAmplifies,
)
from sim_backend.adversaries.light import ReturnedLight, honest_return
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink

Array = NDArray[np.float64]
LIMIT = 6.5
KS_LIMIT = 1e-12
MODES, FRAMES, SAMPLES = 6, 3, 4000
AMPLIFIER = Amplifier(gain=2.0)
MU = 0.3


def _score(values: Array, mean: float) -> float:
    return float((values.mean() - mean) / (values.std() / math.sqrt(values.size)))


@pytest.mark.parametrize(
    "adversary",
    [
        KeepsLight(fraction=0.3),
        TapsAndAmplifies(fraction=0.3),
        InterceptsAndResends(),
        MeasuresOnlyX(noise_p_snu=0.5),
        ReturnsNothing(),
    ],
    ids=lambda adversary: adversary.name,
)
def test_sums_have_the_law_of_the_links_when_it_plays_the_same_attack(
    adversary: Adversary,
) -> None:
    link = SymbolLink(
        LinkSettings(receiver=AMPLIFIER, seed=3, device="cpu"), return_behaviour(adversary)
    )
    block = Block(
        run=0,
        layer=0,
        tile=0,
        first_input=0,
        inputs=2 * FRAMES,
        first_row=0,
        rows=SAMPLES,
        modes=MODES,
    )
    # One magnitude and one-hot data: the data mode then holds 1/N of the energy exactly.
    signs = torch.randint(0, 2, (1, SAMPLES, MODES), generator=torch.Generator().manual_seed(1))
    data = torch.zeros(2 * FRAMES, MODES)
    data[:, 0] = 1.0
    on_p = torch.arange(2 * FRAMES)[:, None].expand(-1, SAMPLES) >= FRAMES
    link.client.load(block, data)
    link.server.send(block, (2.0 * signs - 1) * math.sqrt(4 * MU))
    link.client.measure(block)
    summary = link.server.collect_summary(block, on_p, 1.0)
    sums = draw_blocks(
        adversary.returned(honest_return(AMPLIFIER)),
        BlockShape(frames=FRAMES, modes=MODES, photons_per_symbol=MU),
        SAMPLES,
        np.random.default_rng(2),
    )
    pairs = (
        (summary.projection_snu[0], sums.projection_snu),
        (summary.residual_energy_snu[0], sums.residual_x_snu),
        (summary.residual_energy_snu[1], sums.residual_p_snu),
    )
    for of_link, drawn in pairs:
        assert ks_2samp(of_link.numpy(), drawn[:, 0]).pvalue > KS_LIMIT


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_sums_have_the_law_of_a_mixture_when_symbols_are_hit_at_random(share: float) -> None:
    shape = BlockShape(frames=FRAMES, modes=MODES, photons_per_symbol=MU)
    light = InterceptsAndResends(share=share).returned(ReturnedLight(data_mode_excess_x_snu=0.5))
    random = np.random.default_rng(5)
    sums = draw_blocks(light, shape, SAMPLES, random)
    hit = random.random((SAMPLES, FRAMES, MODES)) < share
    variance = 1 + 2.0 * hit
    variance[:, :, 0] += 0.5
    mean = math.sqrt(4 * MU)
    values = mean + np.sqrt(variance) * random.standard_normal(hit.shape)
    assert ks_2samp((mean * values).sum((1, 2)), sums.projection_snu[:, 0]).pvalue > KS_LIMIT
    deviations = np.square(values - mean).sum((1, 2))
    assert ks_2samp(deviations, sums.residual_x_snu[:, 0]).pvalue > KS_LIMIT


def test_row_sums_grow_by_two_when_one_mode_per_frame_is_intercepted() -> None:
    shape = BlockShape(rows=2, frames=1, modes=MODES, photons_per_symbol=MU)
    light = InterceptsOneMode().returned(ReturnedLight())
    sums = draw_blocks(light, shape, SAMPLES, np.random.default_rng(4))
    assert sums.residual_x_snu.shape == (SAMPLES, 2)
    assert abs(_score(sums.residual_x_snu, MODES + 2)) < LIMIT
    assert abs(_score(sums.residual_p_snu, MODES + 2)) < LIMIT


def test_energy_and_symbols_follow_the_shape() -> None:
    shape = BlockShape(rows=5, frames=2, modes=10, photons_per_symbol=0.1)
    assert shape.symbols == 100
    assert shape.row_energy_snu == pytest.approx(8.0)


def test_impossible_blocks_are_refused() -> None:
    random = np.random.default_rng(1)
    shape = BlockShape(frames=1, modes=2, photons_per_symbol=0.1)
    for light in (ReturnedLight(offset_snu=1.0), ReturnedLight(converter_range_snu=6.0)):
        with pytest.raises(ConfigurationError, match="symbol by symbol"):
            draw_blocks(light, shape, 2, random)
    with pytest.raises(ConfigurationError, match="at least 1 row"):
        BlockShape(rows=0, modes=2, photons_per_symbol=0.1)
    with pytest.raises(ConfigurationError, match="photons_per_symbol"):
        BlockShape(modes=2, photons_per_symbol=math.nan)
