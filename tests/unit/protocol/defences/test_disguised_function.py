"""A disguise leaves the function and, layer by layer, the planned light."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.errors import ConfigurationError
from protocol.defences import (
    Defences,
    DisguisedNetwork,
    OperatingSystemNumbers,
    SeededNumbers,
    disguise_network,
    hidden_units,
)
from protocol.encoding import make_plan
from protocol.models.graph import Flatten, Gelu, Graph, Linear, Relu, SelfAttention, TokenLinear
from protocol.models.model import LayerWeights, Model
from protocol.models.optical_layers import OpticalNetwork
from protocol.plan import Encoding
from tests.unit.protocol.defences.disguised_networks import (
    double_weights,
    networks,
    outputs,
    sent_weights,
)

ALL = Defences(permute=True, rescale=2.0, dummies=3, photons=1.7)


def perceptron(*, bias: bool = True, seed: int = 3) -> Model:
    layers = (
        Linear(inputs=30, outputs=60, bias=bias),
        Relu(),
        Linear(inputs=60, outputs=40, bias=bias),
        Relu(),
        Linear(inputs=40, outputs=10, bias=bias),
    )
    return OpticalNetwork(Graph(input_shape=(30,), layers=layers), seed=seed).to_model()


def disguised(model: Model, defences: Defences, **changes: int) -> DisguisedNetwork:
    photons = tuple(0.5 for _ in model.graph.optical)
    return disguise_network(
        model, defences, photons, encoding="real", modes_per_frame=4096, **changes
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    model=networks(),
    permute=st.booleans(),
    rescale=st.sampled_from([1.0, 1.3, 4.0]),
    photons=st.sampled_from([1.0, 3.0]),
    dummies=st.integers(0, 4),
    encoding=st.sampled_from(["real", "complex"]),
    key=st.text(max_size=3),
)
def test_outputs_are_the_same_when_a_network_is_disguised(
    model: Model,
    permute: bool,
    rescale: float,
    photons: float,
    dummies: int,
    encoding: Encoding,
    key: str,
) -> None:
    defences = Defences(permute=permute, rescale=rescale, photons=photons, dummies=dummies)
    hidden = hidden_units(model.graph)
    scaled = rescale > 1 or photons > 1
    if not defences.active or not hidden or (scaled and not any(h.scalable for h in hidden)):
        with pytest.raises(ConfigurationError, match="defence"):
            disguised(model, defences)
        return
    light = tuple(0.3 for _ in model.graph.optical)
    network = disguise_network(model, defences, light, encoding=encoding, modes_per_frame=5)
    network.plan.check_graph(network.graph)
    sent = network.draw(SeededNumbers(1), key)

    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, *model.graph.input_shape, generator=generator, dtype=torch.float64)
    wanted = outputs(model.graph, double_weights(model), inputs)
    found = outputs(network.graph, sent_weights(network, sent), inputs)

    assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-10 * float(wanted.abs().max() + 1))
    for entry in network.plan.layers:
        assert sent.matrices[entry.layer].shape == (entry.rows, entry.entries)
        energy = np.sum(np.square(sent.matrices[entry.layer])) * entry.scale_snu**2
        modes = math.ceil(model.matrix(entry.layer).shape[1] / entry.weights_per_symbol)
        per_symbol = energy / 4 / (modes * entry.rows)
        if not dummies:  # whose energy is random
            assert per_symbol <= entry.photons_per_symbol * (1 + 1e-8)
        assert sent.photons_per_symbol[entry.layer] > 0


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "defences",
    [Defences(permute=True), Defences(rescale=2.0), Defences(permute=True, rescale=1.4)],
    ids=lambda defences: defences.text,
)
def test_photons_are_those_planned_when_units_are_rescaled(bias: bool, defences: Defences) -> None:
    network = disguised(perceptron(bias=bias), defences)
    for trial in range(20):
        sent = network.draw(SeededNumbers(5), str(trial))
        for entry in network.plan.layers:
            energy = np.mean(np.square(sent.matrices[entry.layer])) * entry.scale_snu**2 / 4
            last = entry.layer == 4
            assert energy <= 0.5 * (1 + 1e-8)
            assert energy == pytest.approx(0.5, rel=0.35 if last and defences.rescale > 1 else 1e-9)


def test_photons_have_their_mean_when_they_are_drawn() -> None:
    network = disguised(perceptron(bias=False), Defences(photons=2.0))
    draws = [network.draw(SeededNumbers(7), str(trial)) for trial in range(4000)]
    for entry, highest in zip(network.plan.layers, (2.0, 4.0, 2.0), strict=True):
        # All rows have the same factor: the photons charged are those of the layer.
        drawn = np.array([sent.photons_per_symbol[entry.layer] for sent in draws])
        energy = np.mean(np.square(draws[0].matrices[entry.layer])) * entry.scale_snu**2 / 4
        assert energy == pytest.approx(drawn[0], rel=1e-9)
        assert drawn.max() <= entry.photons_per_symbol * (1 + 1e-9)
        links = {2.0: 1, 4.0: 2}[highest]
        mean = (math.sinh(math.log(2)) / math.log(2)) ** links
        assert entry.photons_per_symbol == pytest.approx(0.5 * highest / mean)
        # Standard error at most 0.5 of the mean over sqrt(4000): 7 of them.
        assert drawn.mean() == pytest.approx(0.5, rel=7 * 0.5 / math.sqrt(4000))


def test_charge_is_the_largest_factor_of_a_row_when_units_are_rescaled() -> None:
    model = perceptron()
    network = disguised(model, Defences(permute=True, rescale=1.5, dummies=2))
    sent = network.draw(OperatingSystemNumbers(), "")
    for entry in network.plan.layers:
        plain = model.matrix(entry.layer).double().square().sum(1).numpy()
        scale = (
            make_plan(model, (0.5, 0.5, 0.5), encoding="real", modes_per_frame=4096)
            .of_layer(entry.layer)
            .scale_snu
        )
        light = np.sum(np.square(sent.matrices[entry.layer]), axis=1) * entry.scale_snu**2
        charged = sent.photons_per_symbol[entry.layer] / 0.5
        # Every row of the model is somewhere with at most the factor that is charged.
        allowed = np.sort(charged * plain * scale**2)
        rows = np.sort(light)
        if entry.layer == 4:
            assert np.all(light <= charged * plain * scale**2 * (1 + 1e-9))
            assert np.any(light >= charged * plain * scale**2 * (1 - 1e-9))
        else:
            assert rows[0] <= allowed[-1]
            # The largest squared factor over the rows' mean one, which is that of the plan.
            assert 1.0 < charged <= 1.5**4


def test_rows_stay_in_their_block_when_rows_are_verified_in_parts() -> None:
    model = perceptron(bias=False)
    network = disguised(model, Defences(permute=True, dummies=6), rows_per_block=11)
    sent = network.draw(SeededNumbers(2), "a")
    for entry in network.plan.layers:
        covered = 0
        for first, rows in network.plan.row_ranges(entry):
            start, real = network.ledger_rows(entry.layer, first, rows)
            assert start == covered
            covered += real
            # The norms of a permutation's rows are those of the model's rows.
            wanted = np.linalg.norm(model.matrix(entry.layer).numpy()[start : start + real], axis=1)
            found = np.linalg.norm(sent.matrices[entry.layer][first : first + rows], axis=1)
            assert all(np.min(np.abs(found - norm)) < 1e-5 for norm in wanted)
        assert covered == model.matrix(entry.layer).shape[0]


def test_disguise_is_fresh_when_it_is_drawn_again() -> None:
    network = disguised(perceptron(), ALL)
    source = OperatingSystemNumbers()
    first, second = network.draw(source, "a"), network.draw(source, "a")
    repeated = [network.draw(SeededNumbers(1), "a") for _ in range(2)]
    other = network.draw(SeededNumbers(1), "b")
    for layer in first.matrices:
        assert not np.allclose(first.matrices[layer], second.matrices[layer])
        assert np.array_equal(repeated[0].matrices[layer], repeated[1].matrices[layer])
        assert not np.allclose(repeated[0].matrices[layer], other.matrices[layer])


def test_dummies_hold_nothing_of_the_weights_but_their_scale() -> None:
    model = perceptron(bias=False)
    # The same root mean square, other weights: the dummies are the same.
    turned = Model(
        graph=model.graph,
        weights={i: LayerWeights(weight=-w.weight.flip(1)) for i, w in model.weights.items()},
    )
    defences = Defences(dummies=5)
    first = disguised(model, defences).draw(SeededNumbers(1), "a").matrices[0]
    second = disguised(turned, defences).draw(SeededNumbers(1), "a").matrices[0]
    same = [row for row in range(len(first)) if np.allclose(first[row], second[row])]
    assert len(same) == 5


def test_units_are_left_alone_when_attention_mixes_them() -> None:
    layers = (
        TokenLinear(inputs=6, outputs=12),
        SelfAttention(heads=2),
        TokenLinear(inputs=4, outputs=5),
        Gelu(),
        TokenLinear(inputs=5, outputs=3),
        Relu(),
        Flatten(),
        Linear(inputs=9, outputs=4),
    )
    hidden = hidden_units(Graph(input_shape=(3, 6), layers=layers))
    assert [(h.layer, h.following, h.scalable) for h in hidden] == [(2, 4, False), (4, 7, True)]
    # Features are the fast axis of tokens that were made one vector.
    assert hidden[1].columns.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


def test_network_without_hidden_units_is_refused() -> None:
    graph = Graph(input_shape=(4,), layers=(Linear(inputs=4, outputs=2),))
    model = OpticalNetwork(graph).to_model()
    with pytest.raises(ConfigurationError, match="no hidden units"):
        disguised(model, Defences(permute=True))


def test_block_of_dummies_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="dummies alone"):
        disguised(perceptron(), Defences(dummies=60), rows_per_block=1)
