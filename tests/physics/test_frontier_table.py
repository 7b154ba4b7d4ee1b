"""The frontier's figures against tabulated values, limits and slow references."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.leakage import (
    data_bits_server_any_measurement_cap,
    excess_noise_to_thermal_photons,
    thermal_entropy_bits,
    weight_bits_client_keeps_all_gaussian_real,
    weight_bits_client_verified_real,
)
from protocol.leakage.certified import ServerTrust
from protocol.leakage.conventions import Encoding, signal_variance_snu, weights_per_mode
from protocol.leakage.dithering import (
    data_bits_any_cap_with_dither,
    data_bits_any_with_dither,
    data_bits_homodyne_dither,
    data_bits_homodyne_dither_cap,
    lost_p,
)
from protocol.leakage.general_bound import ReturnedChannel, weight_bits_general
from veilight.certificate_plots import leakage_curve
from veilight.frontier.expected import expected_certificate
from veilight.frontier.figures import LinkAssumptions, privacy_of, with_queries
from veilight.frontier.link import receiver_on_link
from veilight.frontier.shapes import LayerShape

MNIST_FIRST = (LayerShape(layer=0, rows=784, columns=784),)


@pytest.mark.parametrize(
    ("receiver", "photons", "weights", "weights_high", "homodyne", "anything"),
    [
        (Amplifier(gain=2.0), 0.125, 0.0092, 0.0092, 0.29, 0.79),
        (Amplifier(gain=1.1), 0.64, 0.0095, 0.0095, 0.0199, 0.22),
        (Amplifier(gain=1.02), 3.1, 0.0104, 0.0104, 0.0011, 0.055),
        (FeedForwardTap(tap_fraction=0.1), 0.63, 0.0012, 0.0028, 0.0005, 0.019),
        (FeedForwardTap(tap_fraction=0.01), 6.3, 0.0012, 0.0028, 0.000005, 0.0018),
    ],
    ids=["G2", "G1.1", "G1.02", "tau0.1", "tau0.01"],
)
def test_figures_are_the_tabulated_ones_when_f2_is_a_quarter(
    receiver: Receiver,
    photons: float,
    weights: float,
    weights_high: float,
    homodyne: float,
    anything: float,
) -> None:
    privacy = privacy_of(MNIST_FIRST, (0.25,), receiver, "real", LinkAssumptions())
    assert privacy.photons_per_symbol[0] == pytest.approx(photons, rel=0.02)
    # Two digits are tabulated: half a unit of the second.
    assert privacy.weight_bits == pytest.approx(weights, rel=0.05)
    assert privacy.weight_bits_unmatched_p == pytest.approx(weights_high, rel=0.05)
    assert privacy.data_bits_homodyne_local == pytest.approx(homodyne, rel=0.1)
    assert privacy.data_bits_any_local == pytest.approx(anything, rel=0.05)


def test_passive_tap_leaks_no_data_and_the_weights_that_are_in_what_it_keeps() -> None:
    privacy = privacy_of(
        MNIST_FIRST, (0.25,), PassiveTap(tap_fraction=0.2), "real", LinkAssumptions()
    )
    assert privacy.data_bits_homodyne == privacy.data_bits_any == 0
    # What is missing in the return without noise is what the client can hold: F^2/4 photons.
    assert privacy.weight_bits == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(0.25 / 4), rel=1e-6
    )
    assert privacy.stolen_block_bits_per_weight == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(0.25 / 4 / 0.2), rel=1e-9
    )


def test_positions_and_copies_count_as_more_photons() -> None:
    tap = FeedForwardTap(tap_fraction=0.1)
    shape = LayerShape(layer=0, rows=20, columns=50, positions=7)
    privacy = privacy_of((shape,), (0.25,), tap, "real", LinkAssumptions(copies=3))
    together = weight_bits_client_verified_real(
        21 * 0.25 / 0.4, 1.0, tap.excess_noise_x_snu / 50, 0.0
    )
    assert privacy.weight_bits == pytest.approx(together, rel=1e-6)


def test_a_thief_keeps_one_block_and_small_blocks_allow_more_queries() -> None:
    tap = FeedForwardTap(tap_fraction=0.3)
    shape = LayerShape(layer=0, rows=20, columns=50, positions=7)
    found = {}
    for inputs in (0, 3, 1, 100):
        link = LinkAssumptions(inputs_per_block=inputs)
        figures = privacy_of((shape,), (8.0,), tap, "real", link)
        found[inputs] = with_queries(figures, (shape,), (8.0,), link, 4.0)
    for inputs, copies in ((0, 7), (3, 3), (1, 1), (100, 7)):
        photons = copies * found[inputs].photons_per_symbol[0]
        assert found[inputs].stolen_block_bits_per_weight == pytest.approx(
            weight_bits_client_keeps_all_gaussian_real(photons)
        )
        assert found[inputs].weight_bits == found[0].weight_bits
    allowed = {inputs: privacy.queries_allowed or 0 for inputs, privacy in found.items()}
    assert allowed[0] == allowed[100] == 0 < allowed[3] < allowed[1]
    for wrong in (-1, 1.5, True):
        with pytest.raises(ConfigurationError, match="inputs_per_block"):
            LinkAssumptions(inputs_per_block=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_trusted_fibres_cost_photons_and_nothing_else(encoding: Encoding) -> None:
    gain = Amplifier(gain=1.1)
    ideal = privacy_of(MNIST_FIRST, (0.3,), gain, encoding, LinkAssumptions())
    fibre = privacy_of(
        MNIST_FIRST,
        (0.3,),
        gain,
        encoding,
        LinkAssumptions(transmittance=0.6, transmittance_trusted=True),
    )
    assert fibre.photons_per_symbol[0] == pytest.approx(ideal.photons_per_symbol[0] / 0.6)
    assert fibre.weight_bits == pytest.approx(ideal.weight_bits, rel=1e-6)
    assert fibre.data_bits_any == pytest.approx(ideal.data_bits_any, rel=1e-6)
    assert fibre.stolen_block_bits == pytest.approx(ideal.stolen_block_bits, rel=1e-9)


def test_untrusted_fibres_are_a_channel_of_their_transmittance_squared() -> None:
    tap = FeedForwardTap(tap_fraction=0.1)
    privacy = privacy_of(MNIST_FIRST, (0.3,), tap, "real", LinkAssumptions(transmittance=0.9))
    photons = 0.3 / (4 * 0.1 * 0.9)
    assert privacy.photons_per_symbol[0] == pytest.approx(photons, rel=1e-9)
    assert privacy.weight_bits == pytest.approx(
        weight_bits_client_verified_real(photons, 0.81, 0.9 * tap.excess_noise_x_snu / 784, 0.0),
        rel=1e-5,
    )


def test_clients_detector_enters_signal_and_noise_of_a_feed_forward_tap() -> None:
    link = LinkAssumptions(detection_efficiency=0.8, electronic_noise_snu=0.1)
    tap = FeedForwardTap(tap_fraction=0.2)
    seen = receiver_on_link(tap, link)
    assert seen.snr_factor == pytest.approx(0.8 * 0.2 / 1.1, rel=1e-9)
    # What is fed forward is the record over sqrt(eta), its noise included.
    assert seen.excess_noise_x_snu == pytest.approx(tap.displacement_gain**2 * 1.1 / 0.8, rel=1e-6)
    assert seen.channel_gain == 1.0


def test_expected_certificate_is_that_of_the_leakage_plot() -> None:
    tap = FeedForwardTap(tap_fraction=0.1)
    curve = leakage_curve(tap, modes=784, photons_per_symbol=0.625)
    index = curve.symbols.index(10**8)
    certified = expected_certificate(
        ReturnedChannel(
            gain_x=1.0,
            gain_p=1.0,
            excess_noise_x_snu=tap.excess_noise_x_snu / 784,
            excess_noise_p_snu=0.0,
        ),
        modulation_x_snu=2.5,
        modulation_p_snu=0.0,
        copies=1,
        symbols_x=10**8 // 2,
        symbols_p=10**8 // 2,
        # The plot's confidence is 1 - 1e-6, which loses digits.
        failure=1 - curve.confidence,
        trust=ServerTrust(),
    )
    assert certified == pytest.approx(curve.certified[index], rel=1e-9)


@pytest.mark.parametrize(
    ("receiver", "encoding", "dither"),
    [
        (FeedForwardTap(tap_fraction=0.1), "real", 0.0),
        (FeedForwardTap(tap_fraction=0.1), "real", 0.25),
        (Amplifier(gain=1.1), "complex", 0.0),
    ],
    ids=["tap", "tap-dithered", "amplifier"],
)
def test_certificate_falls_to_the_asymptotic_figure_when_symbols_grow(
    receiver: Receiver, encoding: Encoding, dither: float
) -> None:
    bits = []
    for number in (1e7, 1e9, 1e11, 1e16):
        link = LinkAssumptions(tested_symbols=number, dither_p_snu=dither)
        privacy = privacy_of(MNIST_FIRST, (0.25,), receiver, encoding, link)
        assert privacy.weight_bits_certified is not None
        bits.append(privacy.weight_bits_certified)
        assert bits[-1] > privacy.weight_bits
    assert bits == sorted(bits, reverse=True)
    assert bits[-1] == pytest.approx(privacy.weight_bits, rel=0.02)


def test_dither_channel_is_the_regression_of_the_dimmed_return() -> None:
    modes, dither = 9, 0.7
    data = np.random.default_rng(3).normal(size=modes)
    data /= np.linalg.norm(data)
    tap = FeedForwardTap(tap_fraction=0.3)
    # Row p comes back as R p; p is white with variance d.
    returned = np.eye(modes) - (1 - math.sqrt(0.7)) * np.outer(data, data)
    gain = np.trace(returned) / modes
    left = returned - gain * np.eye(modes)
    noise = dither * np.trace(left @ left.T) / modes
    channel = receiver_on_link(tap, LinkAssumptions()).channel(modes, dither_snu=dither)
    assert channel.gain_x == 1.0
    assert channel.gain_p == pytest.approx(gain, rel=1e-12)
    assert channel.excess_noise_p_snu == pytest.approx(noise, rel=1e-9)


def test_dither_tells_a_homodyning_server_what_its_fisher_information_says() -> None:
    modes, rows, dither, tau = 6, 40, 0.5, 0.4
    generator = np.random.default_rng(5)
    data, across = np.linalg.qr(generator.normal(size=(modes, 2)))[0].T
    lost = 1 - math.sqrt(1 - tau)

    def mean(row: np.ndarray, angle: float) -> np.ndarray:
        turned = math.cos(angle) * data + math.sin(angle) * across
        return np.asarray(row - lost * (row @ turned) * turned)

    # The mean square over white rows is the sum over a basis of them.
    basis = math.sqrt(dither) * np.eye(modes)
    slopes = [(mean(row, 1e-5) - mean(row, -1e-5)) / 2e-5 for row in basis]
    fisher = sum(float(slope @ slope) for slope in slopes)
    tap = FeedForwardTap(tap_fraction=tau)
    expected = 0.5 * math.log2(1 + rows * fisher / modes)
    assert data_bits_homodyne_dither(tap, dither, rows, modes) == pytest.approx(expected, rel=1e-6)
    noise = tap.excess_noise_x_snu
    assert data_bits_any_with_dither(tap, noise, dither, rows, modes) == pytest.approx(
        0.5 * math.log2(1 + rows * (fisher + noise) / modes), rel=1e-6
    )


def test_dither_caps_are_entropies_of_the_mean_state() -> None:
    modes, rows, dither = 12, 5, 0.8
    tap = FeedForwardTap(tap_fraction=0.25)
    share = (1 - math.sqrt(0.75)) ** 2 * dither / modes
    assert lost_p(tap) == pytest.approx(1 - math.sqrt(0.75), rel=1e-12)
    homodyne = rows * np.linalg.slogdet((1 + share) * np.eye(modes))[1] / (2 * math.log(2) * modes)
    assert data_bits_homodyne_dither_cap(tap, dither, rows, modes) == pytest.approx(homodyne)
    ell = tap.excess_noise_x_snu
    mean_state = thermal_entropy_bits(excess_noise_to_thermal_photons(ell / modes, share))
    known = thermal_entropy_bits(excess_noise_to_thermal_photons(ell, 0.0))
    assert data_bits_any_cap_with_dither(tap, ell, dither, rows, modes) == pytest.approx(
        rows * (modes * mean_state - known) / modes, rel=1e-9
    )
    assert data_bits_any_cap_with_dither(tap, ell, 0.0, rows, modes) == pytest.approx(
        data_bits_server_any_measurement_cap(ell, 0.0, rows, modes), rel=1e-12
    )


def test_dither_shows_the_gain_of_p_and_so_lowers_the_certificate_most_of_all() -> None:
    tap = FeedForwardTap(tap_fraction=0.1)
    plain, dithered = (
        privacy_of(
            MNIST_FIRST,
            (0.25,),
            tap,
            "real",
            LinkAssumptions(tested_symbols=1e8, dither_p_snu=dither),
        )
        for dither in (0.0, 0.25)
    )
    assert dithered.weight_bits_certified is not None
    assert plain.weight_bits_certified is not None
    assert dithered.weight_bits_certified < 0.75 * plain.weight_bits_certified
    assert dithered.weight_bits <= plain.weight_bits
    assert dithered.data_bits_homodyne > plain.data_bits_homodyne
    assert dithered.data_bits_any > plain.data_bits_any


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_asymptotic_figure_is_the_general_bound_at_the_honest_channel(encoding: Encoding) -> None:
    gain = Amplifier(gain=1.3)
    privacy = privacy_of(MNIST_FIRST, (0.5,), gain, encoding, LinkAssumptions())
    per_mode = weights_per_mode(encoding)
    modes = 784 // per_mode
    photons = 0.5 * per_mode / (4 * gain.snr_factor)
    assert privacy.photons_per_symbol[0] == pytest.approx(photons, rel=1e-9)
    modulation = signal_variance_snu(photons, encoding)
    channel = ReturnedChannel(
        gain_x=1.0,
        gain_p=1.0,
        excess_noise_x_snu=gain.excess_noise_x_snu / modes,
        excess_noise_p_snu=gain.excess_noise_p_snu / modes,
    )
    bits = weight_bits_general(modulation, modulation if per_mode == 2 else 0.0, channel)
    assert privacy.weight_bits == pytest.approx(bits / per_mode, rel=1e-5)


@pytest.mark.parametrize(
    ("receiver", "encoding"),
    [
        (FeedForwardTap(tap_fraction=0.1), "real"),
        (PassiveTap(tap_fraction=0.3), "real"),
        (Amplifier(gain=1.05), "complex"),
    ],
    ids=["feed-forward-tap", "passive-tap", "amplifier"],
)
def test_weights_leak_more_when_f2_grows_and_data_do_not(
    receiver: Receiver, encoding: Encoding
) -> None:
    link = LinkAssumptions(tested_symbols=1e8)
    figures = [
        privacy_of(MNIST_FIRST, (ratio,), receiver, encoding, link) for ratio in (0.1, 0.3, 1.0)
    ]
    for name in ("weight_bits", "weight_bits_certified", "stolen_block_bits"):
        values = [getattr(entry, name) for entry in figures]
        assert values == sorted(values), name
        assert values[0] < values[-1], name
    assert len({entry.data_bits_any for entry in figures}) == 1
    assert len({entry.data_bits_homodyne for entry in figures}) == 1


def test_certificate_shrinks_when_the_coupling_is_stronger() -> None:
    link = LinkAssumptions(tested_symbols=1e8)
    bits = [
        privacy_of(
            MNIST_FIRST, (0.25,), FeedForwardTap(tap_fraction=tau), "real", link
        ).charged_weight_bits
        for tau in (0.02, 0.05, 0.1, 0.3, 1.0)
    ]
    assert bits == sorted(bits, reverse=True)
