"""Figures of a design: sums over layers, what is charged, budgets, and what is refused."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.budget import bits_per_weight
from protocol.leakage import weight_bits_client_keeps_all_gaussian_real
from protocol.models.graph import Conv2d, Flatten, Graph, Linear, Relu
from veilight.frontier.figures import LinkAssumptions, Privacy, privacy_of, with_queries
from veilight.frontier.link import receiver_on_link
from veilight.frontier.shapes import LayerShape, shapes_of

SHAPES = (
    LayerShape(layer=0, rows=30, columns=64),
    LayerShape(layer=2, rows=10, columns=31),
)
RATIOS = (0.3, 0.6)
TAP = FeedForwardTap(tap_fraction=0.1)


def privacy(link: LinkAssumptions | None = None, receiver: Receiver = TAP) -> Privacy:
    return privacy_of(SHAPES, RATIOS, receiver, "real", link or LinkAssumptions())


def alone(index: int, link: LinkAssumptions | None = None) -> Privacy:
    return privacy_of(
        SHAPES[index : index + 1], RATIOS[index : index + 1], TAP, "real", link or LinkAssumptions()
    )


def test_shapes_count_biases_and_positions() -> None:
    graph = Graph(
        input_shape=(2, 6, 6),
        layers=(
            Conv2d(in_channels=2, out_channels=5, kernel=(3, 3)),
            Relu(),
            Flatten(),
            Linear(inputs=80, outputs=7, bias=False),
        ),
    )
    assert shapes_of(graph) == (
        LayerShape(layer=0, rows=5, columns=19, positions=16),
        LayerShape(layer=3, rows=7, columns=80, positions=1),
    )


@pytest.mark.parametrize("changes", [{"rows": 0}, {"columns": True}, {"positions": 1.5}])
def test_shape_is_refused_when_a_size_is_no_count(changes: Mapping[str, int]) -> None:
    sizes = {"rows": 3, "columns": 3, "positions": 1, **changes}
    with pytest.raises(ConfigurationError, match="whole number"):
        LayerShape(layer=0, **sizes)


def test_weights_are_averaged_over_weights_and_the_worst_layer_stands_apart() -> None:
    both, first, second = privacy(), alone(0), alone(1)
    mean = (1920 * first.weight_bits + 310 * second.weight_bits) / 2230
    assert both.weight_bits == pytest.approx(mean, rel=1e-12)
    assert both.weight_bits_worst_layer == max(first.weight_bits, second.weight_bits)
    assert both.weight_bits_worst_layer > both.weight_bits


def test_data_are_of_the_worst_layer_and_totals_are_summed() -> None:
    both, parts = privacy(), (alone(0), alone(1))
    for name in ("homodyne", "any"):
        values = [getattr(part, f"data_bits_{name}") for part in parts]
        assert getattr(both, f"data_bits_{name}") == max(values)
        assert getattr(both, f"data_bits_{name}_total") == pytest.approx(
            64 * values[0] + 31 * values[1], rel=1e-12
        )


def test_larger_figure_is_charged_unless_the_local_one_is_asked_for() -> None:
    charged, local = privacy(), privacy(LinkAssumptions(data_charge="local"))
    assert charged.data_bits_any == charged.data_bits_any_cap > charged.data_bits_any_local
    assert charged.any_charged_by == "cap"
    assert charged.homodyne_charged_by == "local"
    assert local.data_bits_any == local.data_bits_any_local == charged.data_bits_any_local
    assert local.any_charged_by == "local"
    assert any("no caps" in sentence for sentence in local.assumptions)


def test_positions_repeat_the_data_and_not_their_figure() -> None:
    shape = LayerShape(layer=0, rows=8, columns=9)
    many = LayerShape(layer=0, rows=8, columns=9, positions=100)
    once, often = (
        privacy_of((each,), (0.3,), TAP, "real", LinkAssumptions()) for each in (shape, many)
    )
    assert often.data_bits_any == once.data_bits_any
    assert often.data_bits_any_total == pytest.approx(100 * once.data_bits_any_total)
    assert often.symbols_per_query == 100 * once.symbols_per_query == 7200
    assert often.seconds_per_query == pytest.approx(7.2e-6)
    assert often.weight_bits > once.weight_bits
    photons = once.photons_per_symbol[0]
    assert often.stolen_block_bits_per_weight == pytest.approx(
        weight_bits_client_keeps_all_gaussian_real(100 * photons), rel=1e-9
    )


def test_stolen_block_is_the_one_that_holds_most() -> None:
    both, first, second = privacy(), alone(0), alone(1)
    assert both.stolen_block_bits == max(first.stolen_block_bits, second.stolen_block_bits)
    assert first.stolen_block_bits == pytest.approx(
        1920 * weight_bits_client_keeps_all_gaussian_real(0.3 / 0.4), rel=1e-9
    )
    assert both.stolen_block_bits_per_weight == second.stolen_block_bits_per_weight


def test_tested_symbols_are_shared_as_they_are_sent() -> None:
    with_test = privacy(LinkAssumptions(tested_symbols=2.23e6))
    assert with_test.tested_symbols == (1_920_000, 310_000)
    assert with_test.weight_bits_certified is not None
    assert with_test.weight_bits_certified_worst_layer is not None
    assert with_test.weight_bits_certified_worst_layer > with_test.weight_bits_certified
    assert with_test.charged_weight_bits == with_test.weight_bits_certified
    without = privacy()
    assert without.weight_bits_certified is None
    assert without.tested_symbols == ()
    assert without.charged_weight_bits == without.weight_bits


def test_layers_share_the_failure_probability() -> None:
    one = LinkAssumptions(tested_symbols=31e4, failure=5e-7)
    both = LinkAssumptions(tested_symbols=2.23e6, failure=1e-6)
    assert privacy(both).weight_bits_certified_worst_layer == pytest.approx(
        alone(1, one).weight_bits_certified, rel=1e-12
    )


@pytest.mark.parametrize("tested", [0.5, 30.0])
def test_certificate_is_the_untested_figure_when_hardly_anything_is_tested(tested: float) -> None:
    figures = alone(0, LinkAssumptions(tested_symbols=tested))
    assert figures.weight_bits_certified == pytest.approx(
        figures.stolen_block_bits_per_weight, rel=1e-9
    )


def test_certificate_is_the_untested_figure_when_nothing_comes_back() -> None:
    figures = privacy(LinkAssumptions(tested_symbols=1e8), PassiveTap(tap_fraction=1.0))
    assert figures.weight_bits_certified == pytest.approx(figures.weight_bits, rel=1e-9)


def test_certificate_charges_what_the_calibrations_may_be_wrong_by() -> None:
    exact = LinkAssumptions(tested_symbols=1e8)
    certified = [
        privacy(link).weight_bits_certified or 0.0
        for link in (
            exact,
            replace(exact, gain_uncertainty=1e-3),
            replace(exact, shot_noise_uncertainty=1e-3),
            replace(exact, gain_uncertainty=1e-3, shot_noise_uncertainty=1e-3),
        )
    ]
    assert 1.2 * certified[0] < min(certified[1:3])
    assert max(certified[1:3]) < certified[3]
    said = [privacy(link).assumptions for link in (exact, replace(exact, gain_uncertainty=1e-3))]
    assert any("taken as known exactly" in line for line in said[0])
    assert any("known to 0.001" in line for line in said[1])


def test_queries_are_those_counted_one_by_one() -> None:
    budget = 2.0
    allowed = _with_queries(SHAPES, RATIOS, TAP, budget).queries_allowed
    noise = receiver_on_link(TAP, LinkAssumptions()).excess_noise_x_snu

    def spent(queries: int, ratio: float, modes: int) -> float:
        photons = ratio / 0.4
        return bits_per_weight(
            (queries - 1) * photons,
            photons,
            "real",
            transmittance=1.0,
            excess_noise_x_snu=noise / modes,
            excess_noise_p_snu=0.0,
        )

    counted = min(
        next(queries for queries in range(1, 2000) if spent(queries, ratio, modes) > budget) - 1
        for ratio, modes in zip(RATIOS, (64, 31), strict=True)
    )
    assert allowed == counted > 0


def test_queries_are_charged_as_kept_when_nothing_comes_back() -> None:
    found = _with_queries(SHAPES[:1], RATIOS[:1], PassiveTap(tap_fraction=1.0), 1.0)
    kept = [weight_bits_client_keeps_all_gaussian_real(k * 0.3 / 4) for k in range(1, 50)]
    assert found.queries_allowed == sum(bits <= 1.0 for bits in kept)
    assert found.queries_allowed_with_memory == found.queries_allowed


def test_queries_are_fewer_when_a_memory_meets_all_copies() -> None:
    budget = 2.0
    found = _with_queries(SHAPES, RATIOS, TAP, budget)
    noise = receiver_on_link(TAP, LinkAssumptions()).excess_noise_x_snu

    def read(queries: int, ratio: float, modes: int) -> float:
        """The last query is kept, the others are measured without demolition in the noise of X."""
        modulation, returned = ratio / 0.4 * 4, queries - 1
        back_action = noise / modes
        measured = modulation * back_action * returned**2 / (1 + back_action * returned)
        return 0.5 * math.log2(1 + measured + modulation)

    most = min(
        next(queries for queries in range(1, 5000) if read(queries, ratio, modes) > budget) - 1
        for ratio, modes in zip(RATIOS, (64, 31), strict=True)
    )
    assert found.queries_allowed is not None
    assert found.queries_allowed_with_memory is not None
    assert 0 < found.queries_allowed_with_memory <= most
    assert found.queries_allowed_with_memory < 0.8 * found.queries_allowed


def _with_queries(
    shapes: tuple[LayerShape, ...], ratios: tuple[float, ...], receiver: Receiver, budget: float
) -> Privacy:
    link = LinkAssumptions()
    figures = privacy_of(shapes, ratios, receiver, "real", link)
    assert figures.queries_allowed is None
    return with_queries(figures, shapes, ratios, link, budget)


def test_probing_server_gains_with_the_light_that_the_client_lets_in() -> None:
    bits = [
        privacy(LinkAssumptions(probe_photons_per_mode=photons)).data_bits_probing
        for photons in (0.0, 0.01, 0.1)
    ]
    assert bits[0] == pytest.approx(privacy().data_bits_any_local, rel=1e-9)
    assert bits == sorted(bits, key=lambda value: value or 0.0)
    assert privacy().data_bits_probing is None
    # Where P comes back whole, light in P says nothing.
    gain = Amplifier(gain=1.1)
    probed = privacy(LinkAssumptions(probe_photons_per_mode=1.0), gain)
    assert probed.data_bits_probing == probed.data_bits_any_local


def test_clients_limit_lets_the_dither_pass() -> None:
    link = LinkAssumptions(probe_photons_per_mode=0.01, dither_p_snu=0.4)
    dithered = privacy(link)
    wide = privacy(LinkAssumptions(probe_photons_per_mode=0.1))
    assert dithered.data_bits_probing == wide.data_bits_probing
    assert dithered.dither_p_snu == 0.4
    assert any("0.4 SNU" in sentence for sentence in dithered.assumptions)


def test_dither_is_left_out_when_weights_are_on_p() -> None:
    gain = Amplifier(gain=1.1)
    plain, dithered = (
        privacy_of(SHAPES, RATIOS, gain, "complex", LinkAssumptions(dither_p_snu=dither))
        for dither in (0.0, 0.4)
    )
    assert dithered.dither_p_snu == 0
    assert dithered.weight_bits == plain.weight_bits
    assert dithered.data_bits_any == plain.data_bits_any


def test_complex_encoding_halves_the_modes_and_rounds_up() -> None:
    figures = privacy_of(SHAPES, RATIOS, Amplifier(gain=1.1), "complex", LinkAssumptions())
    assert figures.symbols_per_query == 30 * 32 + 10 * 16
    assert figures.photons_per_symbol[0] == pytest.approx(
        0.3 / (2 * Amplifier(gain=1.1).snr_factor), rel=1e-9
    )


def test_assumptions_name_the_honest_server_and_whose_the_losses_are() -> None:
    text = " ".join(privacy().assumptions)
    assert "sends no light in P" in text
    assert "every photon lost in the fibres is the adversary's" in text
    trusted = privacy(LinkAssumptions(transmittance=0.5, transmittance_trusted=True))
    assert "the server's, whom nobody disturbs" in " ".join(trusted.assumptions)
    tested = privacy(LinkAssumptions(tested_symbols=1e6, failure=1e-9))
    assert "1e-09" in " ".join(tested.assumptions)


@pytest.mark.parametrize(
    "ratios", [(0.3,), (0.3, 0.6, 0.1), (0.3, math.nan), (0.3, -1.0), (0.3, 0.0)]
)
def test_design_is_refused_when_f2_does_not_fit(ratios: tuple[float, ...]) -> None:
    with pytest.raises(ConfigurationError):
        privacy_of(SHAPES, ratios, TAP, "real", LinkAssumptions())


def test_design_is_refused_when_the_receiver_cannot_take_the_encoding() -> None:
    with pytest.raises(ConfigurationError, match="does not preserve P"):
        privacy_of(SHAPES, RATIOS, TAP, "complex", LinkAssumptions())
    with pytest.raises(ConfigurationError, match="one per layer"):
        privacy_of((), (), TAP, "real", LinkAssumptions())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transmittance", 0.0),
        ("transmittance", math.nan),
        ("detection_efficiency", 1.1),
        ("server_efficiency", -0.1),
        ("electronic_noise_snu", -1e-9),
        ("server_electronic_noise_snu", math.inf),
        ("dither_p_snu", math.nan),
        ("tested_symbols", 0.0),
        ("tested_share_x", 1.0),
        ("failure", 0.0),
        ("gain_uncertainty", -1e-9),
        ("shot_noise_uncertainty", math.nan),
        ("copies", 0),
        ("copies", 1.0),
        ("probe_photons_per_mode", -1.0),
        ("most_photons_per_symbol", 0.0),
        ("symbol_rate_hz", math.nan),
        ("data_charge", "smaller"),
    ],
)
def test_link_is_refused_by_name_when_a_value_is_out_of_range(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        LinkAssumptions(**{name: value})  # type: ignore[arg-type]


def test_figures_are_plain_numbers() -> None:
    figures = privacy(LinkAssumptions(tested_symbols=1e6, probe_photons_per_mode=0.01))
    for name, value in vars(figures).items():
        assert not isinstance(value, np.generic), name
