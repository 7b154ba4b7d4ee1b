"""Fourth powers and projections of the returned light: drawn sums against every mode measured."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ReturnSummary
from drivers.errors import OpticsError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from drivers.return_summary import add_summaries, project_return, summarise
from sim_backend.adversaries import HONEST, ReturnBehaviour, intercepts_and_resends
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.blocks import block_of

ROWS, MODES, INPUTS = 4, 24, 6


def draws(
    receiver: Receiver,
    *,
    full: bool,
    blocks: int,
    behaviour: ReturnBehaviour = HONEST,
    detector: DetectorSettings | None = None,
    seed: int = 1,
    dither: float = 0.0,
) -> NDArray[np.float64]:
    """Kurtosis of all deviations of each of `blocks` blocks, of X light or with P displaced."""
    settings = LinkSettings(
        receiver=receiver, server=detector or DetectorSettings(), seed=seed, device="cpu"
    )
    link = SymbolLink(settings, behaviour)
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(1, ROWS, MODES, generator=generator)
    found = []
    for number in range(blocks):
        block = block_of(number, inputs=INPUTS, rows=ROWS, modes=MODES)
        data = torch.randn(INPUTS, MODES, generator=generator)
        link.client.load(block, data / torch.linalg.vector_norm(data, dim=1, keepdim=True))
        means = weights
        if dither:
            on_x = weights.expand(INPUTS, ROWS, MODES)
            displaced = torch.randn(INPUTS, ROWS, MODES, generator=generator)
            means = torch.complex(on_x, math.sqrt(dither) * displaced)
        link.server.send(block, means)
        link.client.measure(block)
        on_p = torch.rand(INPUTS, ROWS, generator=generator) < 0.5
        gain = math.sqrt(receiver.returned_transmittance)
        if full:
            summary = summarise(link.server.collect_full(block, on_p), on_p, means, gain)
        else:
            summary = link.server.collect_summary(block, on_p, gain)
        found.append(kurtosis(summary))
    return np.array(found)


def kurtosis(summary: ReturnSummary) -> float:
    assert summary.residual_fourth_snu is not None
    count = float(summary.frames.sum()) * summary.modes
    second = float(summary.residual_energy_snu.sum())
    return count * float(summary.residual_fourth_snu.sum()) / second**2


@pytest.mark.parametrize("full", [False, True], ids=["drawn", "measured"])
def test_kurtosis_has_the_moments_of_a_point_on_the_sphere_when_light_is_white(full: bool) -> None:
    """Mean 3 n/(n + 2) and variance 24 n^2 (n - 1)/((n + 2)^2 (n + 4)(n + 6)), n = 576.

    1500 blocks: 6 deviations of the mean, and 25 % of the variance, which scatters by 5 %.
    """
    n = INPUTS * ROWS * MODES
    found = draws(PassiveTap(tap_fraction=0.2), full=full, blocks=1500)
    variance = 24 * n**2 * (n - 1) / ((n + 2) ** 2 * (n + 4) * (n + 6))
    assert found.mean() == pytest.approx(3 * n / (n + 2), abs=6 * math.sqrt(variance / 1500))
    assert found.var() == pytest.approx(variance, rel=0.25)


@pytest.mark.parametrize(
    ("receiver", "detector"),
    [
        (Amplifier(gain=2.0), None),
        (FeedForwardTap(tap_fraction=0.5), None),
        (Amplifier(gain=2.0), DetectorSettings(efficiency=0.8, phase_error_rad=0.02)),
    ],
    ids=["amplifier", "feed-forward tap", "amplifier, phase error"],
)
def test_drawn_kurtosis_agrees_with_measured_modes_when_the_receiver_adds_noise(
    receiver: Receiver, detector: DetectorSettings | None
) -> None:
    """Means of 1200 blocks, within 6 of their common deviation."""
    drawn = draws(receiver, full=False, blocks=1200, detector=detector)
    measured = draws(receiver, full=True, blocks=1200, detector=detector, seed=2)
    deviation = math.sqrt((drawn.var() + measured.var()) / 1200)
    assert drawn.mean() == pytest.approx(measured.mean(), abs=6 * deviation)


def test_drawn_kurtosis_agrees_with_measured_modes_when_p_is_displaced() -> None:
    """A tap keeps c (p . x) of the data mode: noise of 2.7 SNU on one mode, in P frames alone."""
    tap = FeedForwardTap(tap_fraction=0.9)
    drawn = draws(tap, full=False, blocks=1200, dither=6.0)
    measured = draws(tap, full=True, blocks=1200, dither=6.0, seed=2)
    deviation = math.sqrt((drawn.var() + measured.var()) / 1200)
    assert drawn.mean() == pytest.approx(measured.mean(), abs=6 * deviation + 0.02)


def test_symbols_picked_at_random_make_a_mixture_when_a_share_is_resent() -> None:
    """2 SNU on a tenth: kurtosis 3 + 3 q (1 - q) D^2/(1 + q D)^2 = 3.75, measured in 600 blocks."""
    found = draws(
        PassiveTap(tap_fraction=0.01),
        full=False,
        blocks=600,
        behaviour=intercepts_and_resends(0.1),
    )
    assert found.mean() == pytest.approx(3.75, abs=6 * found.std() / math.sqrt(600) + 0.02)


def test_fourth_powers_add_up_and_are_left_out_when_a_part_has_none() -> None:
    values = torch.randn(INPUTS, ROWS, MODES, generator=torch.Generator().manual_seed(1))
    on_p = torch.zeros(INPUTS, ROWS, dtype=torch.bool)
    means = torch.zeros(1, ROWS, MODES)
    whole = summarise(values, on_p, means, 1.0)
    assert whole.residual_fourth_snu is not None
    torch.testing.assert_close(
        whole.residual_fourth_snu[0], values.double().pow(4).sum((0, 2)), rtol=1e-5, atol=0
    )
    parts = [summarise(values[part], on_p[part], means, 1.0) for part in (slice(2), slice(2, 6))]
    added = add_summaries(parts)
    assert added.residual_fourth_snu is not None
    torch.testing.assert_close(added.residual_fourth_snu, whole.residual_fourth_snu)
    without = ReturnSummary(**{**vars(parts[0]), "residual_fourth_snu": None})
    assert add_summaries([without, parts[1]]).residual_fourth_snu is None


def projected(
    receiver: Receiver, opened: Tensor | None = None
) -> tuple[tuple[int, int], tuple[float, float]]:
    link = SymbolLink(LinkSettings(receiver=receiver, seed=5, device="cpu"))
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=100, first_row=0, rows=40, modes=MODES
    )
    generator = torch.Generator().manual_seed(6)
    data = torch.randn(100, MODES, generator=generator).sign() / MODES**0.5
    link.server.keep_returns()
    link.client.load(block, data)
    link.server.send(block, torch.randn(1, 40, MODES, generator=generator))
    link.client.measure(block)
    on_p = torch.rand(100, 40, generator=generator) < 0.5
    link.server.collect_summary(block, on_p, 1.0)
    found = link.server.project(block, data if opened is None else opened, 1.0)
    with pytest.raises(OpticsError, match="complex"):
        link.server.project(block, data.to(torch.complex64), 1.0)
    link.server.forget_returns()
    with pytest.raises(OpticsError, match="was not kept"):
        link.server.project(block, data, 1.0)
    return found.frames, found.energy_snu


def test_projection_holds_the_data_modes_noise_when_the_true_vector_is_opened() -> None:
    """1 + 2 (1 - 1/G) = 2 per frame in either quadrature at G = 2; 1 along any other vector.

    About 2000 frames in each: five deviations of the chi-square are 16 %.
    """
    frames, energy = projected(Amplifier(gain=2.0))
    assert sum(frames) == 4000
    for count, value in zip(frames, energy, strict=True):
        assert value / count == pytest.approx(2.0, rel=0.16)
    _, plain = projected(PassiveTap(tap_fraction=1e-6))
    other = torch.zeros(100, MODES)
    other[:, 0], other[:, 1] = math.sqrt(0.5), -math.sqrt(0.5)
    _, away = projected(Amplifier(gain=2.0), other)
    assert sum(plain) / 4000 == pytest.approx(1.0, rel=0.12)
    # The other vector has the square 1/MODES or 0 of the true one, half of the times each.
    assert sum(away) / 4000 == pytest.approx(1 + 1 / MODES, rel=0.13)


def test_projection_is_the_squared_product_when_worked_out_by_hand() -> None:
    values = torch.tensor([[[3.0, 1.0], [0.0, 2.0]]])
    on_p = torch.tensor([[False, True]])
    means = torch.tensor([[[1.0, 0.0], [5.0, 5.0]]])
    data = torch.tensor([[0.6, 0.8]])
    found = project_return(values, on_p, means, data, 0.5)
    assert found.frames == (1, 1)
    # X: (2.5, 1) along the data; P: real light has no mean there.
    assert found.energy_snu == pytest.approx(((1.5 + 0.8) ** 2, 1.6**2))
