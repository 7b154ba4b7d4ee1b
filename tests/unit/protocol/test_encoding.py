"""Weights to light, data to unit vectors, outcomes to products: means, noise, photons, tiles.

Statistical limits are 7.8 standard errors (6e-15 each), fewer than 2000 of them: below 2e-11.
"""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.backend import Block
from drivers.errors import ConfigurationError, DataError, ModelError
from drivers.receivers import Amplifier, FeedForwardTap, PassiveTap, Receiver
from protocol.encoding import (
    decode,
    encode_data,
    encode_weights,
    make_plan,
    photons_for_signal_to_noise,
    scale_for_photons,
    signal_to_noise,
)
from protocol.models.graph import Conv2d, Graph
from protocol.models.model import LayerWeights, Model
from protocol.plan import Encoding, LayerPlan, tile_sizes
from sim_backend.settings import DetectorSettings, LinkSettings
from sim_backend.symbol_link import SymbolLink
from tests.unit.protocol.session_bench import Bench, convolutional, normals, perceptron

Z_LIMIT = 7.8
LAB = DetectorSettings(efficiency=0.85, visibility=0.98, electronic_noise_snu=0.05)


def plan_of(
    matrix: Tensor, encoding: Encoding, *, photons: float = 1.0, modes_per_frame: int = 1000
) -> LayerPlan:
    modes = math.ceil(matrix.shape[1] / (2 if encoding == "complex" else 1))
    return LayerPlan(
        layer=0,
        rows=matrix.shape[0],
        entries=matrix.shape[1],
        positions=1,
        encoding=encoding,
        photons_per_symbol=photons,
        scale_snu=scale_for_photons(matrix, photons, encoding),
        tiles=tile_sizes(modes, modes_per_frame),
    )


def through_light(
    matrix: Tensor, vectors: Tensor, plan: LayerPlan, settings: LinkSettings
) -> tuple[Tensor, float]:
    """Products `(inputs, rows)` over a simulated link, and the returned excess energy per row.

    The excess is the mean over frames and both quadratures of the sum of squared deviations over a
    row's modes, less its vacuum: the sum of the excess noise over all modes of all tiles.
    """
    link = SymbolLink(settings)
    products, excess = torch.zeros(len(vectors), plan.rows), 0.0
    parts = zip(encode_weights(matrix, plan), encode_data(vectors, plan), strict=True)
    for tile, (means, (unit, norms)) in enumerate(parts):
        block = Block(
            run=0,
            layer=0,
            tile=tile,
            first_input=0,
            inputs=len(vectors),
            first_row=0,
            rows=plan.rows,
            modes=plan.tiles[tile],
        )
        link.client.load(block, unit)
        link.server.send(block, means[None])
        outcomes = link.client.measure(block)
        products += decode(outcomes, norms, link.client.describe().signal_gain, plan)
        flips = torch.rand(block.inputs, block.rows, generator=torch.Generator().manual_seed(5))
        summary = link.server.collect_summary(block, flips < 0.5, 1.0)
        excess += float(summary.residual_energy_snu.sum()) / block.frames - block.modes
    return products, excess


RECEIVERS: tuple[Receiver, ...] = (
    Amplifier(gain=1.6),
    FeedForwardTap(tap_fraction=0.3),
    PassiveTap(tap_fraction=0.3),
)


@pytest.mark.parametrize(
    ("receiver", "encoding"),
    [(r, "real") for r in RECEIVERS] + [(r, "complex") for r in RECEIVERS if r.preserves_p],
)
@pytest.mark.parametrize(("entries", "modes_per_frame"), [(6, 100), (7, 100), (7, 3)])
def test_decode_gives_products_and_predicted_noise_when_light_crosses_a_lossy_link(
    receiver: Receiver, encoding: Encoding, entries: int, modes_per_frame: int
) -> None:
    matrix, vector = normals(3, entries, seed=1), normals(entries, seed=2)
    vector[-1] = 1.0  # the place of a bias
    settings = LinkSettings(
        receiver=receiver,
        modes_per_frame=modes_per_frame,
        forward_transmittance=0.8,
        client=LAB,
        server=LAB,
        seed=3,
        device="cpu",
    )
    plan = plan_of(matrix, encoding, photons=0.5, modes_per_frame=modes_per_frame)
    inputs = 20_000
    products, _ = through_light(matrix, vector.expand(inputs, -1), plan, settings)
    # a and v of the receiver behind losses: recorded mean sqrt(T eta) a, variance eta(v-1)+1+v_el.
    eta = 0.85 * 0.98**2
    gain = receiver.signal_gain * math.sqrt(0.8 * eta)
    variance = eta * (receiver.outcome_variance_snu - 1) + 1 + 0.05
    noise = float(vector.norm()) * math.sqrt(variance) / (gain * plan.scale_snu)
    deviations = (products.double() - matrix.double() @ vector.double()) / noise
    assert bool((deviations.mean(0).abs() < Z_LIMIT / math.sqrt(inputs)).all())
    ratio = float(deviations.square().mean())
    assert abs(ratio - 1) < Z_LIMIT * math.sqrt(2 / deviations.numel())


@pytest.mark.parametrize("mu", [0.01, 1.0, 37.0])
@pytest.mark.parametrize("entries", [8, 9])
def test_encode_weights_launches_mu_photons_per_mode_when_measured_on_the_means(
    mu: float, entries: int
) -> None:
    """A coherent state with quadrature means (X, P) in SNU carries (X^2 + P^2)/4 photons."""
    matrix = normals(5, entries, seed=4)
    for encoding, modes_per_frame in (("real", 4), ("complex", 2)):
        plan = plan_of(matrix, encoding, photons=mu, modes_per_frame=modes_per_frame)  # type: ignore[arg-type]
        tiles = encode_weights(matrix, plan)
        assert tuple(part.shape[1] for part in tiles) == plan.tiles
        modes = torch.cat(tiles, dim=1)
        assert modes.is_complex() == (encoding == "complex")
        photons = float(modes.abs().double().square().mean()) / 4
        assert photons == pytest.approx(mu, rel=1e-6)


def test_scale_differs_by_root_two_when_two_weights_share_a_mode() -> None:
    """The trap of the conventions: 4 mu in one quadrature, or 2 mu in each of two."""
    matrix = normals(5, 8, seed=4)
    power = float(matrix.double().square().mean())
    real = scale_for_photons(matrix, 0.3, "real")
    complex_ = scale_for_photons(matrix, 0.3, "complex")
    assert real**2 * power == pytest.approx(4 * 0.3)
    assert complex_**2 * power == pytest.approx(2 * 0.3)
    assert photons_for_signal_to_noise(2.0, 0.5, "real") == pytest.approx(1.0)
    assert photons_for_signal_to_noise(2.0, 0.5, "complex") == pytest.approx(2.0)
    assert signal_to_noise(1.0, 0.5, "real") == pytest.approx(2.0)
    assert signal_to_noise(2.0, 0.5, "complex") == pytest.approx(2.0)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_signal_to_noise_is_the_mean_square_of_outcomes_over_their_noise(
    encoding: Encoding,
) -> None:
    """F^2 is the mean of (q . x)^2 f over weights, for a unit vector x of random direction.

    Averaged over all unit vectors, (q . x)^2 is |q|^2 / N; summed over an orthonormal basis of real
    data vectors it is exact, without any draw.
    """
    matrix = normals(4, 10, seed=6)
    plan = plan_of(matrix, encoding, photons=0.7)
    (means,) = encode_weights(matrix, plan)
    ((unit, norms),) = encode_data(torch.eye(10), plan)
    overlap = (unit.conj() @ means.T).real
    assert torch.allclose(overlap, plan.scale_snu * matrix.T, rtol=1e-5)
    assert float(norms.min()) == float(norms.max()) == 1.0
    factor = 0.4
    f_squared = float(overlap.double().square().mean()) * factor
    assert f_squared == pytest.approx(signal_to_noise(0.7, factor, encoding), rel=1e-5)


@pytest.mark.parametrize("tiles", [2, 3, 6])
def test_tiles_keep_the_noise_and_add_returned_excess_when_each_is_normalised_by_itself(
    tiles: int,
) -> None:
    """A row cut into tiles has the noise of an untiled one; the return carries more of it.

    Each tile t is measured with its own unit vector and scaled by its own norm |x_t|, so that the
    variance of the sum is sum |x_t|^2 v/(a s)^2 = |x|^2 v/(a s)^2. What grows is the excess noise
    of the return: 2 kappa = 2 (1 - 1/G) per tile. Measured here at G = 3 (2 kappa = 1.333),
    24 modes, 60,000 frames (standard errors 0.006 of the ratio, 0.04 of the row's excess):

        tiles    variance over the prediction    excess of a row
        1        1.006                           1.30
        2        1.002                           2.69
        3        0.997                           4.02
        6        1.000                           8.04
    """
    matrix, vector = normals(3, 24, seed=1), normals(24, seed=2)
    settings = LinkSettings(receiver=Amplifier(gain=3.0), seed=7, device="cpu")
    inputs = 20_000
    found = {}
    for count in (1, tiles):
        plan = plan_of(matrix, "real", photons=0.5, modes_per_frame=24 // count)
        assert len(plan.tiles) == count
        products, excess = through_light(matrix, vector.expand(inputs, -1), plan, settings)
        noise = float(vector.norm()) / math.sqrt(settings.receiver.snr_factor) / plan.scale_snu
        ratio = float(products.var(0).double().mean()) / noise**2
        found[count] = (ratio, excess)
        error = math.sqrt(2 / products.numel())
        assert abs(ratio - 1) < Z_LIMIT * error
        # Variance of a frame's sum of squares: 2 per mode, (1 + 2 kappa)^2 for the data mode.
        spread = math.sqrt(count * 2 * (24 / count - 1 + (1 + 4 / 3) ** 2) / products.numel())
        assert abs(excess - count * 4 / 3) < Z_LIMIT * spread
    print(f"tiles {tiles}: variance ratio and row excess {found}")
    assert found[tiles][1] > 1.5 * found[1][1]


def test_tile_sizes_are_as_equal_as_can_be_when_modes_do_not_divide() -> None:
    for modes in range(1, 60):
        for limit in range(1, 20):
            sizes = tile_sizes(modes, limit)
            assert sum(sizes) == modes
            assert max(sizes) <= limit
            assert max(sizes) - min(sizes) <= 1
            assert len(sizes) == math.ceil(modes / limit)


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_encode_data_gives_unit_vectors_when_a_vector_or_a_tile_is_zero(
    encoding: Encoding,
) -> None:
    matrix = normals(3, 8, seed=1)
    plan = plan_of(matrix, encoding, modes_per_frame=2)
    vectors = normals(3, 8, seed=2)
    vectors[0] = 0.0
    vectors[1, :4] = 0.0
    for tile, (unit, norms) in enumerate(encode_data(vectors, plan)):
        lengths = torch.linalg.vector_norm(unit, dim=1)
        assert torch.allclose(lengths, torch.ones(3), atol=1e-6)
        assert float(norms[0]) == 0.0
        assert (float(norms[1]) == 0.0) == (tile * unit.shape[1] * 8 // plan.modes < 4)
        assert float(norms[2]) > 0.0
    products, _ = through_light(
        matrix, vectors, plan, LinkSettings(seed=1, device="cpu", modes_per_frame=2)
    )
    assert bool((products[0] == 0).all())
    assert bool((products[2] != 0).all())


@pytest.mark.parametrize("encoding", ["real", "complex"])
def test_encode_data_overwrites_the_vectors_only_when_in_place(encoding: Encoding) -> None:
    plan = plan_of(normals(3, 8, seed=1), encoding, modes_per_frame=3)
    vectors = normals(4, 8, seed=2)
    vectors[0] = 0.0
    before = vectors.clone()
    apart = encode_data(vectors, plan)
    assert torch.equal(vectors, before)
    together = encode_data(vectors, plan, in_place=True)
    for (unit, norms), (wanted, wanted_norms) in zip(together, apart, strict=True):
        assert torch.equal(unit, wanted)
        assert torch.equal(norms, wanted_norms)
        assert unit.untyped_storage().data_ptr() == vectors.untyped_storage().data_ptr()


def test_encode_data_keeps_unit_vectors_when_data_are_almost_too_small_or_too_large() -> None:
    plan = plan_of(normals(3, 8, seed=1), "real")
    for size in (1e-30, 1e-17, 1e17):
        ((unit, _),) = encode_data(size * normals(2, 8, seed=2), plan)
        lengths = torch.linalg.vector_norm(unit, dim=1)
        assert torch.allclose(lengths, torch.ones(2), atol=1e-5)
    with pytest.raises(DataError, match="scale the data"):
        encode_data(1e30 * normals(2, 8, seed=2), plan)


def test_session_sends_light_and_outputs_biases_alone_when_the_data_are_zero() -> None:
    model = perceptron((6, 5), bias=False, offset=0.0)
    bench = Bench(model=model, photons=(2.0,))
    outputs = bench.client.infer(torch.zeros(4, 6))
    assert bool((outputs == 0).all())
    assert sum(call.startswith("send") for call in bench.calls) == 1
    assert bench.server_optics.sent[0][1].abs().max() > 0
    with_bias = Bench(model=perceptron((6, 5), offset=0.0), photons=(1e4,))
    found = with_bias.client.infer(torch.zeros(4, 6))
    bias = with_bias.model.weights[0].bias
    assert bias is not None
    assert torch.allclose(found, bias.expand(4, -1), atol=0.2)


BRIGHT = 1e11
"""Photons per symbol that bury all noise below the rounding of float32."""


@pytest.mark.parametrize("encoding", ["real", "complex"])
@pytest.mark.parametrize("modes_per_frame", [1000, 5])
def test_session_equals_the_noise_free_network_when_the_light_is_bright(
    encoding: Encoding, modes_per_frame: int
) -> None:
    settings = LinkSettings(
        # Everything is measured, nothing returns: no test can fail on rounding.
        receiver=PassiveTap(tap_fraction=1.0),
        modes_per_frame=modes_per_frame,
        seed=1,
        device="cpu",
    )
    for model, shape in ((perceptron(), (12,)), (convolutional(), (2, 8, 7))):
        bench = Bench(
            model=model,
            link_settings=settings,
            encoding=encoding,
            photons=(BRIGHT, BRIGHT),
            rows_per_block=2,
        )
        data = normals(23, *shape, seed=9)
        scaled = (data - model.graph.scaling.offset) * model.graph.scaling.factor
        wanted = model.forward(scaled)
        assert torch.allclose(bench.client.infer(data), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_convolution_over_light_equals_conv2d_when_the_light_is_bright(
    stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    layer = Conv2d(
        in_channels=3,
        out_channels=4,
        kernel=(2, 3),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    weight, bias = normals(4, 3, 2, 3, seed=1), normals(4, seed=2)
    model = Model(
        graph=Graph(input_shape=(3, 7, 9), layers=(layer,)),
        weights={0: LayerWeights(weight=weight, bias=bias)},
    )
    settings = LinkSettings(receiver=PassiveTap(tap_fraction=1.0), seed=1, device="cpu")
    bench = Bench(
        model=model,
        link_settings=settings,
        photons=(BRIGHT,),
        samples_per_block=2,
    )
    data = normals(5, 3, 7, 9, seed=3)
    wanted = nnf.conv2d(data, weight, bias, stride, padding, dilation)
    assert torch.allclose(bench.client.infer(data), wanted.flatten(1), rtol=1e-4, atol=1e-4)


def test_make_plan_refuses_when_photon_numbers_do_not_fit_the_network() -> None:
    model = perceptron()
    for photons in ((1.0,), (1.0, 1.0, 1.0)):
        with pytest.raises(ConfigurationError, match="2 optical layers"):
            make_plan(model, photons, encoding="real", modes_per_frame=100)
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match=r"layer 2.*photons per symbol"):
            make_plan(model, (1.0, value), encoding="real", modes_per_frame=100)


def test_model_refuses_when_a_layer_has_no_light_to_send() -> None:
    model = perceptron((3, 2), bias=False)
    with pytest.raises(ModelError, match="nothing to send"):
        replace(model, weights={0: LayerWeights(weight=torch.zeros(2, 3))})
