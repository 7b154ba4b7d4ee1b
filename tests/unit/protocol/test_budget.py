"""What the server charges: bits from verified and unverified photons, and queries that fit."""

import math
from dataclasses import replace

import numpy as np
import pytest

from drivers.backend import ServerOpticsInfo
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.budget import bits_per_weight, charge_for_layer, queries_within_budget
from protocol.honest_channel import server_trust
from protocol.leakage import (
    weight_bits_client_keeps_all_gaussian_complex,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_complex,
    weight_bits_client_verified_real,
)
from protocol.plan import Encoding, LayerPlan
from protocol.verification import expected_return
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink


def entropy_bits(photons: float) -> float:
    """Entropy of a thermal state of `photons`, g(n) = (n+1) log2(n+1) - n log2 n."""
    return (photons + 1) * math.log2(photons + 1) - photons * math.log2(photons)


def layer_of(encoding: Encoding = "real", tiles: tuple[int, ...] = (50,)) -> LayerPlan:
    return LayerPlan(
        layer=0,
        rows=10,
        entries=sum(tiles) * (2 if encoding == "complex" else 1),
        positions=1,
        encoding=encoding,
        photons_per_symbol=0.1,
        scale_snu=1.0,
        tiles=tiles,
    )


def info_of(receiver: Receiver, **changes: float) -> ServerOpticsInfo:
    detector = DetectorSettings(efficiency=changes.pop("efficiency", 1.0))
    link = SymbolLink(LinkSettings(receiver=receiver, server=detector, seed=1, device="cpu"))
    return replace(link.server.describe(), **changes)  # type: ignore[arg-type]


def charged(
    info: ServerOpticsInfo,
    receiver: Receiver,
    verified: float,
    unverified: float,
    layer: LayerPlan | None = None,
) -> float:
    charge = charge_for_layer(
        layer or layer_of(), expected_return(info, receiver), server_trust(info)
    )
    return float(charge(np.array([verified]), np.array([unverified]))[0])


@pytest.mark.parametrize("photons", [0.01, 0.3, 7.0])
def test_unverified_light_is_charged_in_full_when_the_client_may_have_kept_it(
    photons: float,
) -> None:
    receiver = Amplifier(gain=2.0)
    info = info_of(receiver)
    wanted = entropy_bits((math.sqrt(1 + 4 * photons) - 1) / 2)
    assert charged(info, receiver, 0.0, photons) == pytest.approx(wanted)
    # Two weights share the photons of a complex mode and its g(mu) bits.
    found = charged(info, receiver, 0.0, photons, layer_of("complex"))
    assert found == pytest.approx(entropy_bits(photons) / 2)
    assert charged(info, receiver, 0.0, 0.0) == 0.0


def test_verified_light_is_charged_by_the_design_channel_when_the_return_passed() -> None:
    receiver = Amplifier(gain=1.25)  # excess noise 2 (1 - 1/G) = 0.4 in one of 50 modes
    info = info_of(receiver)
    wanted = weight_bits_client_verified_real(
        3.0, transmittance=1.0, excess_noise_x_snu=0.4 / 50, excess_noise_p_snu=0.4 / 50
    )
    assert charged(info, receiver, 3.0, 0.0) == pytest.approx(wanted)
    assert wanted < 0.3 * weight_bits_client_keeps_all_gaussian_real(3.0)
    complex_ = charged(info, receiver, 3.0, 0.0, layer_of("complex"))
    wanted = weight_bits_client_verified_complex(
        3.0, transmittance=1.0, excess_noise_x_snu=0.4 / 50, excess_noise_p_snu=0.4 / 50
    )
    assert complex_ == pytest.approx(wanted / 2)


@pytest.mark.parametrize("transmittance", [1.0, 0.7])
@pytest.mark.parametrize(("verified", "unverified"), [(3.0, 0.2), (640.0, 10.0), (0.01, 5.0)])
@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_kept_light_joins_what_a_loss_gave_away_when_nothing_else_disturbs_the_return(
    encoding: Encoding, verified: float, unverified: float, transmittance: float
) -> None:
    """A beam splitter is all that such a return allows: u + (1 - T) v photons in one mode."""
    found = bits_per_weight(
        verified,
        unverified,
        encoding,
        transmittance=transmittance,
        excess_noise_x_snu=0.0,
        excess_noise_p_snu=0.0,
    )
    kept = unverified + (1 - transmittance) * verified
    real = entropy_bits((math.sqrt(1 + 4 * kept) - 1) / 2)
    wanted = real if encoding == "real" else entropy_bits(kept) / 2
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_one_kept_copy_costs_less_than_alone_when_many_have_told_of_the_weights(
    encoding: Encoding,
) -> None:
    """Photons are merged and bits are not added: a second look at a weight tells less of it."""

    def keeps_all(photons: float) -> float:
        if encoding == "real":
            return weight_bits_client_keeps_all_gaussian_real(photons)
        return weight_bits_client_keeps_all_gaussian_complex(photons) / 2

    def bits(verified: float, unverified: float) -> float:
        return bits_per_weight(
            verified,
            unverified,
            encoding,
            transmittance=1.0,
            excess_noise_x_snu=0.011,
            excess_noise_p_snu=0.011,
        )

    assert bits(0.0, 650.0) == pytest.approx(keeps_all(650.0))
    before, after = bits(640.0, 0.0), bits(640.0, 10.0)
    assert max(before, keeps_all(10.0)) < after < 0.8 * (before + keeps_all(10.0))
    # Settled, it costs what any verified copy does.
    assert before < bits(650.0, 0.0) < after


def test_all_light_counts_as_kept_when_an_honest_client_returns_none() -> None:
    receiver = PassiveTap(tap_fraction=1.0)
    found = charged(info_of(receiver), receiver, 2.0, 0.5)
    assert found == pytest.approx(weight_bits_client_keeps_all_gaussian_real(2.5))


def test_line_loss_is_given_to_the_client_and_detector_loss_trusted_when_charged() -> None:
    receiver = FeedForwardTap(tap_fraction=0.1)
    ideal = charged(info_of(receiver), receiver, 1.0, 0.0)
    trusted = charged(info_of(receiver, efficiency=0.6), receiver, 1.0, 0.0)
    lossy = charged(info_of(receiver, return_transmittance=0.6), receiver, 1.0, 0.0)
    assert trusted == pytest.approx(ideal, rel=1e-6)
    own = info_of(receiver, electronic_noise_snu=0.2, converter_step_snu=0.1)
    assert charged(own, receiver, 1.0, 0.0) == pytest.approx(ideal, rel=1e-6)
    assert lossy > ideal + 0.1


@pytest.mark.parametrize("encoding", ["real", "complex"])
@pytest.mark.parametrize(
    "noise",
    [{"excess_noise_snu": 0.02}, {"phase_noise_rad": 0.3}, {"oscillator_drift": 0.1}],
    ids=lambda noise: next(iter(noise)),
)
def test_noise_that_a_thief_could_hide_in_is_charged_when_calibrated(
    encoding: Encoding, noise: dict[str, float]
) -> None:
    """Technical noise and phase errors look like an eavesdropper's: they cannot come for free."""
    receiver = PassiveTap(tap_fraction=0.1)
    clean, noisy = info_of(receiver), info_of(receiver, **noise)
    layer = layer_of(encoding)
    assert charged(noisy, receiver, 1.0, 0.0, layer) > charged(clean, receiver, 1.0, 0.0, layer)
    if "excess_noise_snu" in noise:
        verified = (
            weight_bits_client_verified_real
            if encoding == "real"
            else weight_bits_client_verified_complex
        )
        wanted = verified(
            1.0, transmittance=0.9, excess_noise_x_snu=0.018, excess_noise_p_snu=0.018
        )
        found = charged(noisy, receiver, 1.0, 0.0, layer)
        assert found == pytest.approx(wanted / (2 if encoding == "complex" else 1))


def test_charge_uses_the_smallest_tile_when_a_row_is_cut_unevenly() -> None:
    receiver = Amplifier(gain=2.0)
    info = info_of(receiver)
    uneven = charged(info, receiver, 1.0, 0.0, layer_of(tiles=(3, 2, 2)))
    assert uneven == pytest.approx(charged(info, receiver, 1.0, 0.0, layer_of(tiles=(2, 2))))


def test_charge_never_falls_and_works_by_element_when_photons_are_added() -> None:
    receiver = Amplifier(gain=2.0)
    info = info_of(receiver, return_transmittance=0.9)
    charge = charge_for_layer(layer_of(), expected_return(info, receiver), server_trust(info))
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 60)])
    verified, unverified = (part.ravel() for part in np.meshgrid(grid, grid, indexing="ij"))
    table = charge(verified, unverified).reshape(61, 61)
    assert np.isfinite(table).all()
    assert (table >= 0).all()
    assert (np.diff(table, axis=0) >= -1e-12).all()
    assert (np.diff(table, axis=1) >= -1e-12).all()
    assert charge(grid[:0], grid[:0]).shape == (0,)


def test_moving_photons_to_verified_never_costs_more_when_a_block_passes() -> None:
    receiver = FeedForwardTap(tap_fraction=0.2)
    info = info_of(receiver)
    for photons in np.geomspace(1e-3, 1e3, 20):
        passed = charged(info, receiver, float(photons), 0.0)
        assert passed <= charged(info, receiver, 0.0, float(photons))


def test_bits_per_weight_is_zero_when_nothing_was_sent() -> None:
    for encoding in ("real", "complex"):
        found = bits_per_weight(
            0.0,
            0.0,
            encoding,
            transmittance=1.0,
            excess_noise_x_snu=0.1,
            excess_noise_p_snu=0.1,
        )
        assert found == 0.0


@pytest.mark.parametrize("pending", [1, 5, 0.05])
def test_queries_within_budget_is_the_last_number_that_fits_when_counted_one_by_one(
    pending: float,
) -> None:
    receiver = Amplifier(gain=2.0)
    info = info_of(receiver)
    charge = charge_for_layer(layer_of(), expected_return(info, receiver), server_trust(info))
    for photons, budget in ((0.05, 0.5), (0.01, 0.4), (3.0, 0.2), (0.2, 2.0)):
        allowed = queries_within_budget(charge, photons, budget, pending)

        def bits(queries: int, photons: float = photons) -> float:
            waiting = min(pending, queries) * photons
            verified = queries * photons - waiting
            return charged(info, receiver, verified, waiting)

        assert allowed == 0 or bits(allowed) <= budget
        assert bits(allowed + 1) > budget
