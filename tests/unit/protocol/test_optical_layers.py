"""Weighted sums with the noise of the light, against slow references and the receivers."""

import math

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.errors import ConfigurationError, ModelError
from drivers.receivers import Amplifier, PassiveTap, Receiver
from protocol.encoding import scale_for_photons, signal_to_noise
from protocol.models.graph import Conv2d, Flatten, Graph, Linear, OpticalLayer, Relu
from protocol.models.model import LayerWeights, unfold
from protocol.models.optical_layers import (
    OpticalModule,
    OpticalNetwork,
    check_signal_to_noise,
    estimate_noise_std,
)

LINEAR = Linear(inputs=5, outputs=3)
CONV = Conv2d(
    in_channels=2, out_channels=3, kernel=(3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2)
)
GRAPH = Graph(input_shape=(2, 6, 5), layers=(CONV, Relu(), Flatten(), Linear(inputs=63, outputs=4)))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weights(layer: OpticalLayer) -> LayerWeights:
    shape: tuple[int, ...] = (layer.rows, layer.columns)
    if isinstance(layer, Conv2d):
        shape = (layer.out_channels, layer.in_channels, *layer.kernel)
    bias = random(layer.rows, seed=7) if layer.bias else None
    return LayerWeights(weight=random(*shape, seed=6), bias=bias)


def slow_std(layer: OpticalLayer, values: Tensor, matrix: Tensor, ratio: float) -> list[float]:
    """|x| rms(W) / F of every data vector, one after the other."""
    entries = [float(entry) for row in matrix for entry in row]
    rms = math.sqrt(math.fsum(entry**2 for entry in entries) / len(entries))
    vectors = unfold(layer, values).reshape(-1, matrix.shape[1])
    return [
        math.sqrt(math.fsum(float(x) ** 2 for x in vector)) * rms / math.sqrt(ratio)
        for vector in vectors
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_estimate_noise_std_matches_a_slow_reference_when_the_layer_has_any_geometry(
    kind: str, bias: bool
) -> None:
    layer: OpticalLayer = Linear(inputs=5, outputs=3, bias=bias)
    values = random(4, 5)
    if kind == "conv2d":
        layer = Conv2d(
            in_channels=2,
            out_channels=3,
            kernel=(3, 2),
            stride=(2, 1),
            padding=(1, 2),
            dilation=(1, 2),
            bias=bias,
        )
        values = random(4, 2, 6, 5)
    held = weights(layer)
    std = estimate_noise_std(layer, values, held, 0.3)
    expected = torch.tensor(slow_std(layer, values, held.matrix(), 0.3))
    torch.testing.assert_close(std.flatten(), expected, rtol=1e-5, atol=1e-6)
    assert std.shape == ((4, 1) if kind == "linear" else (4, 1, 3, 7))


@pytest.mark.parametrize("receiver", [Amplifier(gain=2.0), PassiveTap(tap_fraction=0.4)])
def test_estimate_noise_std_is_that_of_the_measured_light_when_mu_and_receiver_give_f_squared(
    receiver: Receiver,
) -> None:
    # Shots of the physical chain: encode, measure mode x, scale back to w . x. 400,000 outcomes
    # give the standard deviation to 0.112 %; 6.5 of that fail with probability below 1e-10.
    shots, photons = 400_000, 0.3
    held = weights(LINEAR)
    matrix, vector = held.matrix(), torch.cat([random(5, seed=3), torch.ones(1)])
    scale = scale_for_photons(matrix, photons, "real")
    norm = vector.norm()
    mean = receiver.signal_gain * (scale * matrix[0] @ vector) / norm
    outcomes = mean + math.sqrt(receiver.outcome_variance_snu) * random(shots, seed=4)
    estimates = norm * outcomes / (receiver.signal_gain * scale)
    ratio = signal_to_noise(photons, receiver.snr_factor, "real")
    std = estimate_noise_std(LINEAR, vector[None, :5], held, ratio)
    assert float(estimates.std()) == pytest.approx(float(std), rel=6.5 * 0.00112)


@pytest.mark.parametrize(("layer", "shape"), [(LINEAR, (4, 5)), (CONV, (4, 2, 6, 5))])
def test_module_adds_one_normal_number_per_sum_when_noise_is_asked_for(
    layer: OpticalLayer, shape: tuple[int, ...]
) -> None:
    module, values = OpticalModule(layer, weights(layer)), random(*shape)
    clean = module(values)
    noisy = module(values, 0.5, torch.Generator().manual_seed(9))
    std = estimate_noise_std(layer, values, module.weights(), 0.5)
    torch.testing.assert_close(noisy, clean + std * random(*clean.shape, seed=9))


def test_module_takes_a_bias_for_one_more_column_when_noise_is_asked_for() -> None:
    held = weights(LINEAR)
    widened = OpticalModule(
        Linear(inputs=6, outputs=3, bias=False), LayerWeights(weight=held.matrix())
    )
    values = random(4, 5)
    with_bias = OpticalModule(LINEAR, held)(values, 0.5, torch.Generator().manual_seed(1))
    as_column = widened(nnf.pad(values, (0, 1), value=1.0), 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(with_bias, as_column)


@pytest.mark.parametrize(("layer", "shape"), [(LINEAR, (2, 5)), (CONV, (2, 2, 6, 5))])
def test_estimate_noise_std_has_the_right_gradients_when_data_and_weights_vary(
    layer: OpticalLayer, shape: tuple[int, ...]
) -> None:
    held = weights(layer)
    assert held.bias is not None

    def std(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return estimate_noise_std(layer, values, LayerWeights(weight=weight, bias=bias), 0.5)

    arguments = [
        tensor.double().requires_grad_() for tensor in (random(*shape), held.weight, held.bias)
    ]
    assert torch.autograd.gradcheck(std, arguments)


def test_module_has_finite_gradients_when_a_patch_is_all_zero() -> None:
    layer = Conv2d(in_channels=1, out_channels=2, kernel=(2, 2), bias=False)
    module = OpticalModule(layer, weights(layer))
    values = torch.zeros(1, 1, 4, 4)
    values[..., 3, 3] = 1.0
    values.requires_grad_()
    module(values, 0.5, torch.Generator().manual_seed(0)).square().sum().backward()
    assert values.grad is not None
    assert bool(torch.isfinite(values.grad).all())
    assert float(values.grad[..., 3, 3].abs()) > 0


def test_network_agrees_with_its_model_when_noise_free() -> None:
    network = OpticalNetwork(GRAPH, seed=1)
    inputs = random(6, 2, 6, 5)
    torch.testing.assert_close(network(inputs), network.to_model().forward(inputs))
    torch.testing.assert_close(network(inputs, ()), network(inputs))


def test_network_gives_each_layer_its_own_ratio_when_they_differ() -> None:
    network, inputs = OpticalNetwork(GRAPH, seed=1), random(6, 2, 6, 5)
    huge = 1e12

    def deviation(ratios: tuple[float, float]) -> float:
        noisy = network(inputs, ratios, torch.Generator().manual_seed(0))
        return float((noisy - network(inputs)).detach().norm())

    assert deviation((huge, huge)) < 1e-3
    assert deviation((1.0, huge)) > 0.1
    # In the last layer alone the deviation is the noise itself: it scales with 1/F.
    assert deviation((huge, 0.25)) == pytest.approx(2 * deviation((huge, 1.0)), rel=1e-3)


def test_network_shares_no_memory_when_models_go_in_and_out() -> None:
    model = OpticalNetwork(GRAPH, seed=1).to_model({"dataset": "none"})
    digest = model.digest
    network = OpticalNetwork.from_model(model)
    copy = network.to_model()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert model.digest == copy.digest == digest
    assert network.to_model().digest != digest
    assert model.metadata == {"dataset": "none"}


def test_network_repeats_its_weights_when_the_seed_is_the_same() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (OpticalNetwork(GRAPH, seed=seed).to_model().digest for seed in (3, 3, 4))
    assert first == again != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_network_starts_uniform_within_the_root_of_the_columns_when_fresh() -> None:
    graph = Graph(input_shape=(64,), layers=(Linear(inputs=64, outputs=400),))
    weights = OpticalNetwork(graph, seed=0).to_model().weights[0]
    assert weights.bias is not None
    largest = float(weights.weight.abs().max())
    assert 0.999 / 8 < largest <= 1 / 8
    assert float(weights.bias.abs().max()) <= 1 / 8
    # Uniform: variance bound^2 / 3, to 0.6 % for 25,600 entries; 6.5 of that fail below 1e-10.
    variance = float(weights.weight.var())
    assert variance == pytest.approx((1 / 8) ** 2 / 3, rel=6.5 * 0.0056)


def test_network_refuses_weights_when_they_do_not_fit_the_graph() -> None:
    with pytest.raises(ModelError, match="the network needs them for"):
        OpticalNetwork(GRAPH, {0: weights(CONV)})


@pytest.mark.parametrize(
    ("ratios", "words"),
    [
        ((1.0,), "has 1 values, but the network has 2 optical layers"),
        ((1.0, math.nan), r"layer 3: signal_to_noise is NaN"),
        ((0.0, 1.0), "layer 0: signal_to_noise is 0.0, it must be a finite number above 0"),
        ((1.0, -2.0), r"layer 3: signal_to_noise is -2.0"),
        ((math.inf, 1.0), "layer 0: signal_to_noise is inf"),
    ],
)
def test_signal_to_noise_is_refused_when_out_of_range(
    ratios: tuple[float, ...], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_signal_to_noise(GRAPH, ratios)
    with pytest.raises(ConfigurationError, match=words):
        OpticalNetwork(GRAPH)(random(1, 2, 6, 5), ratios)


def test_signal_to_noise_is_given_by_layer_index_when_it_fits() -> None:
    assert check_signal_to_noise(GRAPH, (0.25, 0.5)) == {0: 0.25, 3: 0.5}
    assert check_signal_to_noise(GRAPH, ()) == {}
