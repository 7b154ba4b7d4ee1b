"""The public half of a network: shapes, caps and the plain-data form."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drivers.errors import ModelError
from protocol.models.graph import (
    MAX_ENTRIES,
    AvgPool2d,
    Conv2d,
    Flatten,
    Graph,
    InputScaling,
    Layer,
    Linear,
    MaxPool2d,
    Relu,
    Shape,
)

LAYERS: tuple[Layer, ...] = (
    Conv2d(in_channels=3, out_channels=4, kernel=(3, 2), stride=(2, 1), padding=(1, 0)),
    Relu(),
    MaxPool2d(kernel=(2, 2), stride=(2, 2)),
    AvgPool2d(kernel=(2, 1), stride=(1, 1), padding=(1, 0)),
    Flatten(),
    Linear(inputs=36, outputs=7, bias=False),
)
GRAPH = Graph(input_shape=(3, 9, 7), layers=LAYERS, scaling=InputScaling(offset=0.5, factor=2.0))
LINEAR = Linear(inputs=3, outputs=2)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(("kind", "layers", "kernel", "inputs", "bias")), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def description(**changes: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "input_shape": [3],
        "layers": [{"kind": "linear", "inputs": 3, "outputs": 2}],
    }
    return plain | changes


def conv_entry(**changes: object) -> dict[str, object]:
    entry: dict[str, object] = {
        "kind": "conv2d",
        "in_channels": 1,
        "out_channels": 1,
        "kernel": [3, 3],
    }
    return description(input_shape=[1, 8, 8], layers=[entry | changes])


def test_graph_shapes_follow_every_layer_when_all_kinds_are_chained() -> None:
    assert GRAPH.shapes == (
        (3, 9, 7),
        (4, 5, 6),
        (4, 5, 6),
        (4, 2, 3),
        (4, 3, 3),
        (36,),
        (7,),
    )
    assert GRAPH.outputs == 7
    assert GRAPH.optical == (0, 5)


def test_optical_layer_counts_rows_columns_and_positions_when_asked() -> None:
    conv, linear = GRAPH.optical_layer(0), GRAPH.optical_layer(5)
    assert (conv.rows, conv.columns, conv.positions((3, 9, 7))) == (4, 18, 30)
    assert (linear.rows, linear.columns, linear.positions((36,))) == (7, 36, 1)


def test_optical_layer_refuses_when_the_layer_is_digital() -> None:
    with pytest.raises(ModelError, match=r"layer 1 \(relu\) is not sent as light"):
        GRAPH.optical_layer(1)


sizes = st.integers(1, 4)
pairs = st.tuples(sizes, sizes)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    image=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=pairs,
    kind=st.sampled_from(("conv", "max", "avg")),
)
def test_output_shape_agrees_with_torch_when_windows_vary(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    kind: str,
) -> None:
    values = torch.zeros(1, 2, *image)

    def ours() -> Shape:
        layer: Layer
        if kind == "conv":
            layer = Conv2d(
                in_channels=2,
                out_channels=3,
                kernel=kernel,
                stride=stride,
                padding=padding,
                dilation=dilation,
            )
        elif kind == "max":
            layer = MaxPool2d(kernel=kernel, stride=stride, padding=padding)
        else:
            layer = AvgPool2d(kernel=kernel, stride=stride, padding=padding)
        return layer.output_shape((2, *image))

    modules: dict[str, nn.Module] = {
        "conv": nn.Conv2d(2, 3, kernel, stride, padding, dilation),
        "max": nn.MaxPool2d(kernel, stride, padding),
        "avg": nn.AvgPool2d(kernel, stride, padding),
    }
    try:
        expected = tuple(modules[kind](values).shape[1:])
    except RuntimeError:
        with pytest.raises(ModelError):
            ours()
        return
    assert ours() == expected


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((4,), (LINEAR,), r"layer 0 \(linear\): linear layer takes \(3,\), but gets \(4,\)"),
        ((1, 3), (LINEAR,), r"gets \(1, 3\)"),
        ((3,), (Relu(),), "no linear or convolutional layer"),
        ((3,), (), "1 to 256 layers, got 0"),
        ((3,), (LINEAR,) + (Relu(),) * 256, "got 257"),
        ((0,), (LINEAR,), "positive sizes"),
        ((), (LINEAR,), "positive sizes"),
        ((MAX_ENTRIES + 1,), (LINEAR,), "beyond the cap"),
        ((1 << 14, 1 << 15), (LINEAR,), "exceeds the cap"),
        ([3], (LINEAR,), "must be a tuple"),
        ((3.0,), (LINEAR,), "must be a whole number"),
        ((3,), (LINEAR, MaxPool2d(kernel=(1, 1), stride=(1, 1))), r"layer 1 \(maxpool2d\)"),
        (
            (1 << 20,),
            (Linear(inputs=1 << 20, outputs=1 << 9),),
            r"layer 0 \(linear\): 512 x 1048576 weights exceed the cap",
        ),
        (
            (1, 2, 2),
            (Conv2d(in_channels=1, out_channels=1, kernel=(3, 3)),),
            "a window of .3, 3. does not fit into .2, 2.",
        ),
        (
            (1, 4096, 4096),
            (Conv2d(in_channels=1, out_channels=1, kernel=(5, 5)),),
            "16744464 data vectors of 25 entries per sample exceed the cap",
        ),
        (
            (1, 1, 1),
            (
                Conv2d(
                    in_channels=1,
                    out_channels=1,
                    kernel=(1, 1),
                    padding=(1 << 20, 1 << 20),
                    stride=(1 << 20, 1 << 20),
                ),
            ),
            "padded sample exceeds the cap",
        ),
    ],
)
def test_graph_refuses_when_shapes_or_sizes_do_not_fit(
    shape: Shape, layers: tuple[Layer, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Graph(input_shape=shape, layers=layers)


def test_pool_refuses_when_padding_exceeds_half_the_window() -> None:
    MaxPool2d(kernel=(2, 3), stride=(1, 1), padding=(1, 1))
    with pytest.raises(ModelError, match=r"padding \(0, 2\) exceeds half of \(2, 3\)"):
        MaxPool2d(kernel=(2, 3), stride=(1, 1), padding=(0, 2))


@pytest.mark.parametrize(
    ("offset", "factor"), [(math.nan, 1.0), (0.0, math.inf), (0.0, 0.0), (-math.inf, 1.0)]
)
def test_input_scaling_refuses_when_a_number_is_unusable(offset: float, factor: float) -> None:
    with pytest.raises(ModelError, match="finite numbers and a factor that is not 0"):
        InputScaling(offset=offset, factor=factor)


def test_from_dict_returns_the_same_graph_when_it_went_through_json() -> None:
    assert Graph.from_dict(json.loads(json.dumps(GRAPH.to_dict()))) == GRAPH
    assert Graph.from_dict(GRAPH.to_dict()) == GRAPH


def test_to_dict_has_the_same_text_when_the_scaling_was_given_as_whole_numbers() -> None:
    graph = Graph(input_shape=(3,), layers=(LINEAR,), scaling=InputScaling(offset=1, factor=2))
    text = json.dumps(graph.to_dict())
    assert json.dumps(Graph.from_dict(json.loads(text)).to_dict()) == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no list 'layers'"),
        (description(layers={}), "no list 'layers'"),
        (description(extra=1), "unknown key 'extra'; known are input_shape, scaling, layers"),
        (description(scaling=3), "'scaling' must be an object"),
        (description(scaling={"offest": 3}), "'scaling': unknown key 'offest'"),
        (description(scaling={"factor": "3"}), "scaling.factor must be a number"),
        (description(scaling={"factor": True}), "scaling.factor must be a number"),
        (description(scaling={"factor": 10**400}), "scaling.factor is beyond the range"),
        (description(scaling={"factor": math.nan}), "finite numbers"),
        (description(input_shape=3), "input_shape must be a list"),
        (description(input_shape=[]), "input_shape must be a list of 1 to 4"),
        (description(input_shape=[1] * 5), "input_shape must be a list of 1 to 4"),
        (description(input_shape=[3.0]), "input_shape must be a whole number"),
        (description(input_shape=[10**4000]), "beyond the cap"),
        (description(layers=["linear"]), "layer 0 must be an object"),
        (description(layers=[{"kind": "lstm"}]), "layer 0: unknown kind 'lstm'; known are add"),
        (description(layers=[{"kind": ["relu"]}]), "layer 0: unknown kind"),
        (description(layers=[{"kind": "linear", "inputs": 3}]), "layer 0 .linear.: .*outputs"),
        (description(layers=[{"kind": "relu", "alpha": 3}]), "layer 0 .relu.: unknown key 'alpha'"),
        (conv_entry(bias=1), "layer 0 .conv2d. bias must be true or false"),
        (conv_entry(kernel=3), "layer 0 .conv2d.: conv2d kernel must be two whole numbers"),
        (conv_entry(kernel=[3, 3, 3]), "conv2d kernel must be two whole numbers"),
        (conv_entry(kernel=[0, 3]), "conv2d kernel must be at least 1"),
        (conv_entry(padding=[-1, 0]), "conv2d padding must be at least 0"),
        (conv_entry(stride=[1, True]), "must be a whole number"),
        (conv_entry(out_channels=0), "conv2d out_channels must be at least 1"),
        (conv_entry(kernel=[10**4299, 1], dilation=[10**4299, 1]), "beyond the cap"),
    ],
)
def test_from_dict_refuses_when_the_description_is_malformed(
    data: dict[str, object], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Graph.from_dict(data)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    data=st.fixed_dictionaries(
        {},
        optional={
            "input_shape": JSON_VALUES,
            "scaling": JSON_VALUES,
            "layers": st.lists(JSON_VALUES, max_size=3) | JSON_VALUES,
        },
    )
)
def test_from_dict_raises_nothing_but_model_errors_when_fed_any_json(
    data: dict[str, object],
) -> None:
    try:
        graph = Graph.from_dict(data)
    except ModelError:
        return
    assert graph.optical
