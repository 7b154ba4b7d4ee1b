"""Coins that are not fair: their share, their repetition, and those drawn before the light."""

import numpy as np
import pytest
import torch

from drivers.backend import Block, EarlyBits
from drivers.errors import ConfigurationError, OpticsError
from drivers.optics.homodyne_choice import OperatingSystemCoins, QuadratureChoice, SeededCoins
from drivers.receivers import Amplifier
from protocol.plan import Plan
from protocol.randomness import OperatingSystemBits, SeededBits
from protocol.verification import Verifier, expected_return
from protocol.verification.acceptance import acceptance_limits
from protocol.verification.session_limits import session_limits
from sim_backend.settings import LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.plans import layer_plan

BLOCK = Block(run=0, layer=0, tile=0, first_input=0, inputs=400, first_row=0, rows=3, modes=4)
RECEIVER = Amplifier(gain=1.3)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.88])
def test_flips_have_the_share_that_is_asked_for_in_every_row(share: float) -> None:
    """1e6 flips within 8 standard deviations, rows of 1000 within 9: below 1e-12 in all."""
    for source in (OperatingSystemBits(), SeededBits(1)):
        flips = source.flips("key", 1000, 1000, share).double()
        spread = (share * (1 - share)) ** 0.5
        assert abs(float(flips.mean()) - share) < 8 * spread / 1000
        rows = (flips.mean(0) - share).abs().max()
        assert float(rows) < 9 * spread / 1000**0.5
        neighbours = ((flips[:, 1:] - share) * (flips[:, :-1] - share)).mean()
        assert abs(float(neighbours)) < 8 * spread**2 / 1000


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_seeded_flips_are_independent_of_how_inputs_are_cut(share: float) -> None:
    whole = SeededBits(3).flips("layer", 40, 11, share)
    cut = SeededBits(3)
    parts = torch.cat([cut.flips("layer", n, 11, share) for n in (1, 20, 19)])
    assert torch.equal(whole, parts)


@pytest.mark.parametrize("coins", [OperatingSystemCoins(), SeededCoins(4)], ids=["system", "seed"])
def test_early_choice_follows_the_share_of_the_engine(
    coins: OperatingSystemCoins | SeededCoins,
) -> None:
    choice = QuadratureChoice(coins)
    assert isinstance(choice, EarlyBits)
    choice.choose(0.2)
    drawn = np.concatenate([choice.draw(BLOCK) for _ in range(100)])
    assert abs(float(drawn.mean()) - 0.2) < 8 * 0.4 / 200
    flips = choice.flips("", BLOCK.inputs, BLOCK.rows, 0.2)
    assert np.array_equal(flips[:, 1].numpy(), drawn[-BLOCK.inputs :])
    with pytest.raises(OpticsError, match=r"share of P of 0\.2, 0\.5 is asked for"):
        choice.flips("", BLOCK.inputs, BLOCK.rows)


def _plan() -> Plan:
    layer = layer_plan(rows=10, modes=20, photons_per_symbol=0.5)
    return Plan(layers=(layer,), samples_per_block=5)


def test_limits_of_a_session_follow_the_share_of_x() -> None:
    """Fewer symbols of a quadrature are less known: by the root of their number."""
    info = SymbolLink(LinkSettings(receiver=RECEIVER, seed=1, device="cpu")).server.describe()
    law = expected_return(info, RECEIVER)
    half = session_limits(_plan(), 100, law, false_alarm=1e-6)
    more = session_limits(_plan(), 100, law, false_alarm=1e-6, x_share=0.8)
    gain, on_x, on_p = half.running_references
    assert more.running_references == pytest.approx(
        (gain * (0.5 / 0.8) ** 0.5, on_x * (0.5 / 0.8) ** 0.5, on_p * (0.5 / 0.2) ** 0.5)
    )
    assert more.running_limit == half.running_limit
    displaced = expected_return(info, RECEIVER, dither_snu=2.0)
    with_p = session_limits(_plan(), 100, displaced, false_alarm=1e-6)
    # 2 mean squares of 0.5 photons: P has as much as X.
    assert with_p.running_references[3] == pytest.approx(gain)
    assert with_p.running_limit > half.running_limit
    for share in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigurationError, match="x_share"):
            session_limits(_plan(), 100, law, false_alarm=1e-6, x_share=share)


def test_acceptance_of_either_quadrature_follows_its_own_frames() -> None:
    info = SymbolLink(LinkSettings(receiver=RECEIVER, seed=1, device="cpu")).server.describe()
    sizes = {"rows": 3, "modes": 16, "row_energy_snu": 40.0}
    verifier = Verifier(expected_return(info, RECEIVER), false_alarm=1e-4, blocks=1)
    even = acceptance_limits(verifier, frames=20, **sizes)  # type: ignore[arg-type]
    more = acceptance_limits(verifier, frames=20, frames_p=80, **sizes)  # type: ignore[arg-type]
    assert more.projection_snu == pytest.approx(even.projection_snu)
    assert more.residual_x_snu == pytest.approx(even.residual_x_snu)
    low, high = more.residual_p_snu
    honest = 3 * 80 * (16 + RECEIVER.excess_noise_p_snu)
    assert low < honest < high
    assert honest - low < 0.3 * honest
    displaced = expected_return(info, RECEIVER, dither_snu=1.0)
    with pytest.raises(ConfigurationError, match="light on X alone"):
        acceptance_limits(
            Verifier(displaced, false_alarm=1e-4, blocks=1),
            frames=20,
            **sizes,  # type: ignore[arg-type]
        )
