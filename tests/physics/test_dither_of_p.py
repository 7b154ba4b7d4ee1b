"""Known displacements of P: how they come back from each receiver, and what the server expects.

Oracles: the closed forms of `drivers.receivers.FeedForwardTap.lost_p`, then `slow_reference`, which
sends every mode through every element. Limits of 7 standard deviations: fewer than 100 of them fail
by chance with a probability below 1e-9.
"""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from drivers.backend import Block
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.verification import expected_return
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.physics.slow_reference import Reference

Real = NDArray[np.float64]

MODES, SHOTS, DITHER = 6, 40_000, 3.0
LOSSY = {
    "forward_transmittance": 0.8,
    "return_transmittance": 0.7,
    "server": DetectorSettings(efficiency=0.9, electronic_noise_snu=0.1),
    "client": DetectorSettings(efficiency=0.8, electronic_noise_snu=0.05),
}
RECEIVERS: list[Receiver] = [
    Amplifier(gain=1.5),
    FeedForwardTap(tap_fraction=0.5),
    FeedForwardTap(tap_fraction=1.0),
    PassiveTap(tap_fraction=0.3),
]


def _settings(receiver: Receiver, *, lossy: bool) -> LinkSettings:
    return LinkSettings(receiver=receiver, seed=5, device="cpu", **(LOSSY if lossy else {}))  # type: ignore[arg-type]


def _displaced(seed: int) -> tuple[Real, Real, Real]:
    """Weights `(modes,)`, displacements `(shots, modes)` and data `(modes,)`."""
    rng = np.random.default_rng(seed)
    weights, data = rng.standard_normal((2, MODES))
    displacements = math.sqrt(DITHER) * rng.standard_normal((SHOTS, MODES))
    return weights, displacements, data / np.linalg.norm(data)


def _link_record(settings: LinkSettings, weights: Real, sent: Real, data: Real) -> Real:
    """P of every returned mode, from the symbol tier."""
    link = SymbolLink(settings)
    block = Block(
        run=0, layer=0, tile=0, first_input=0, inputs=SHOTS, first_row=0, rows=1, modes=MODES
    )
    means = torch.from_numpy(weights + 1j * sent)[:, None]
    link.client.load(block, torch.from_numpy(data).expand(SHOTS, -1))
    link.server.send(block, means)
    link.client.measure(block)
    record = link.server.collect_full(block, torch.ones(SHOTS, 1, dtype=torch.bool))
    return record[:, 0].double().numpy()


def _regression(sent: Real, record: Real) -> tuple[float, float, float, float]:
    """Gain, variance about the fit, and the standard errors of both."""
    energy = float(np.sum(sent**2))
    gain = float(np.sum(sent * record)) / energy
    left = np.square(record - gain * sent)
    variance = float(left.mean())
    per_shot = left.mean(axis=1)
    # A shot's deviations share one noise: errors are taken from shot to shot.
    moved = np.sum(sent * (record - gain * sent), axis=1)
    return (
        gain,
        variance,
        math.sqrt(float(np.sum(moved**2))) / energy,
        float(per_shot.std()) / math.sqrt(len(per_shot)),
    )


@pytest.mark.parametrize("lossy", [False, True], ids=["ideal", "lossy"])
@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: f"{r.kind}-{r.setting:g}")
def test_displaced_p_returns_with_the_gain_and_noise_of_the_closed_form(
    receiver: Receiver, lossy: bool
) -> None:
    """Gain g (1 - c/N); noise per mode (ell_P + g^2 c^2 d (1 - 1/N))/N beside the white one."""
    settings = _settings(receiver, lossy=lossy)
    weights, sent, data = _displaced(1)
    gain, variance, gain_error, error = _regression(
        sent, _link_record(settings, weights, sent, data)
    )
    info = SymbolLink(settings).server.describe()
    plain = expected_return(info, receiver)
    law = expected_return(info, receiver, dither_snu=DITHER)
    lost = 0.0
    if isinstance(receiver, FeedForwardTap):
        lost = 1 - math.sqrt(1 - receiver.tap_fraction)
    kept = (plain.gain * lost) ** 2 * DITHER
    assert law.gain_p(MODES) == pytest.approx(plain.gain * (1 - lost / MODES))
    assert law.data_mode_excess_p == pytest.approx(plain.data_mode_excess_p + kept)
    assert law.data_mode_excess_x == plain.data_mode_excess_x
    assert abs(gain - law.gain_p(MODES)) < 7 * gain_error
    about_fit = plain.white_variance + (plain.data_mode_excess_p + kept * (1 - 1 / MODES)) / MODES
    assert abs(variance - about_fit) < 7 * error


@pytest.mark.parametrize("lossy", [False, True], ids=["ideal", "lossy"])
@pytest.mark.parametrize("receiver", RECEIVERS, ids=lambda r: f"{r.kind}-{r.setting:g}")
def test_displaced_p_of_the_symbol_tier_agrees_with_every_element_by_itself(
    receiver: Receiver, lossy: bool
) -> None:
    settings = _settings(receiver, lossy=lossy)
    weights, sent, data = _displaced(2)
    found = _regression(sent, _link_record(settings, weights, sent, data))
    shots = Reference(settings=settings).shots(
        np.random.default_rng(3), SHOTS, weights + 1j * sent, data.astype(np.complex128), True
    )
    slow = _regression(sent, shots[:, 1:])
    for value, other, error, slow_error in zip(
        found[:2], slow[:2], found[2:], slow[2:], strict=True
    ):
        assert abs(value - other) < 7 * math.hypot(error, slow_error)


def test_outcomes_hold_no_displacement_of_p_when_the_phase_is_right() -> None:
    settings = _settings(FeedForwardTap(tap_fraction=0.5), lossy=False)
    weights, sent, data = _displaced(4)
    shots = Reference(settings=settings).shots(
        np.random.default_rng(5), SHOTS, weights + 1j * sent, data.astype(np.complex128), True
    )
    along = sent @ data
    correlation = float(np.mean((shots[:, 0] - shots[:, 0].mean()) * along))
    assert abs(correlation) < 7 * math.sqrt(DITHER / SHOTS)
    # Of the light that it does displace the client keeps a known share.
    returned = shots[:, 1:] @ data
    slope = float(np.mean(returned * along)) / DITHER
    spread = math.sqrt((1 + 2 * DITHER * 0.5) / (DITHER * SHOTS))
    assert abs(slope - math.sqrt(0.5)) < 7 * spread
