"""ONNX files in: every supported operator against onnxruntime."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from drivers.errors import ModelError
from protocol.models.graph import AvgPool2d, Conv2d, Flatten, InputScaling, Linear
from protocol.models.model import Model
from tests.unit.protocol.onnx_graphs import (
    IMAGE,
    Array,
    Constants,
    array,
    build,
    chain,
    load,
)


def run(proto: onnx.ModelProto, values: Array) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: Array = session.run(None, {"x": values})[0]
    return result.reshape(len(values), -1)


def ours(model: Model, values: Array) -> Array:
    scaling = model.graph.scaling
    scaled = (torch.tensor(values).double() - scaling.offset) * scaling.factor
    return model.forward(scaled.float()).numpy()


W, B = array(4, 6, seed=1), array(4, seed=2)
K, C = array(3, 2, 3, 2, seed=3), array(3, seed=4)
NORM = {
    "gain": array(3, seed=5),
    "shift": array(3, seed=6),
    "mean": array(3, seed=7),
    "var": array(3, seed=8, low=0.1, high=2.0),
}
LINEAR = {"w": W, "b": B, "wt": W.T.copy()}
CONV = {"k": K, "c": C}
TRANSPOSED = {"transB": 1}


@pytest.mark.parametrize(
    ("steps", "constants"),
    [
        ([("Gemm", "w", "b", TRANSPOSED)], LINEAR),
        ([("Gemm", "wt", "b", {"alpha": 0.3, "beta": -2.0})], LINEAR),
        ([("Gemm", "wt")], LINEAR),
        ([("Gemm", "wt", "s")], LINEAR | {"s": np.array(0.5, np.float32)}),
        ([("Gemm", "wt", "r")], LINEAR | {"r": B.reshape(1, 4)}),
        ([("MatMul", "wt")], LINEAR),
        ([("MatMul", "wt"), ("Add", "b")], LINEAR),
        ([("MatMul", "wt"), ("Add", "b"), ("Add", "r")], LINEAR | {"r": B.reshape(1, 4)}),
        ([("Gemm", "wt", "b"), ("Relu",), ("Gemm", "u")], LINEAR | {"u": array(4, 2, seed=9)}),
        ([("Sub", "s"), ("Div", "t"), ("Gemm", "wt")], LINEAR | {"s": B[:1], "t": W[0, :1]}),
        ([("Mul", "s"), ("Add", "t"), ("Gemm", "wt")], LINEAR | {"s": B[:1], "t": W[0, :1]}),
        ([("Div", "s"), ("Gemm", "wt")], LINEAR | {"s": np.full((1, 6), 3, np.float32)}),
        ([("Identity",), ("Flatten",), ("Sub", "s"), ("Gemm", "wt")], LINEAR | {"s": B[:1]}),
        ([("Gemm", "wt", "b"), ("Dropout",), ("Relu",), ("Identity",)], LINEAR),
        (
            [("Gemm", "wt"), ("Dropout", "ratio", "training"), ("Relu",)],
            LINEAR | {"ratio": np.array(0.5, np.float32), "training": np.array(False)},
        ),
        (
            [("Gemm", "u", "c"), ("BatchNormalization", "gain", "shift", "mean", "var")],
            NORM | {"u": array(6, 3), "c": C},
        ),
    ],
)
def test_load_onnx_computes_what_onnxruntime_does_when_layers_are_linear(
    tmp_path: Path, steps: list[tuple[Any, ...]], constants: Constants
) -> None:
    proto = build(chain(*steps), constants)
    values = array(5, 6, seed=20)
    np.testing.assert_allclose(ours(load(tmp_path, proto), values), run(proto, values), atol=1e-4)


WIDE = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 2, 1, 2], "dilations": [1, 2]}
NORM_STEP = ("BatchNormalization", "gain", "shift", "mean", "var", {"epsilon": 0.01})


@pytest.mark.parametrize(
    ("steps", "constants"),
    [
        ([("Conv", "k", "c", WIDE)], CONV),
        ([("Conv", "k")], CONV),
        ([("Conv", "k", {"auto_pad": "VALID"})], CONV),
        ([("Conv", "k"), ("Add", "p")], CONV | {"p": C.reshape(3, 1, 1)}),
        ([("Conv", "k", "c"), NORM_STEP], CONV | NORM),
        ([("Conv", "k"), ("Dropout",), NORM_STEP, ("Relu",)], CONV | NORM),
        ([("Conv", "k"), ("MaxPool", {"kernel_shape": [2, 3]})], CONV),
        (
            [
                ("Conv", "k"),
                ("MaxPool", {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 1, 1]}),
            ],
            CONV,
        ),
        ([("Conv", "k"), ("AveragePool", {"kernel_shape": [2, 3], "strides": [1, 2]})], CONV),
        (
            [
                ("Conv", "k"),
                (
                    "AveragePool",
                    {"kernel_shape": [2, 2], "pads": [1, 0, 1, 0], "count_include_pad": 1},
                ),
            ],
            CONV,
        ),
        ([("Conv", "k"), ("GlobalAveragePool",), ("Flatten",)], CONV),
        ([("Sub", "s"), ("Conv", "k")], CONV | {"s": np.full((2, 1, 1), 3, np.float32)}),
        ([("Conv", "k"), ("Reshape", "to"), ("Gemm", "u")], CONV | {"to": np.array([0, -1])}),
        ([("Conv", "k"), ("Reshape", "to"), ("Gemm", "u")], CONV | {"to": np.array([-1, 75])}),
        (
            [("Conv", "k"), ("Reshape", "to", {"allowzero": 1}), ("Gemm", "u")],
            CONV | {"to": np.array([-1, 75])},
        ),
        ([("Flatten",), ("Gemm", "flat")], {"flat": array(84, 3)}),
    ],
)
def test_load_onnx_computes_what_onnxruntime_does_when_layers_see_images(
    tmp_path: Path, steps: list[tuple[Any, ...]], constants: Constants
) -> None:
    proto = build(chain(*steps), constants | {"u": array(75, 3, seed=9)}, IMAGE)
    values = array(3, 2, 7, 6, seed=21)
    np.testing.assert_allclose(ours(load(tmp_path, proto), values), run(proto, values), atol=1e-4)


def test_load_onnx_reads_layers_and_scaling_when_the_chain_has_all_of_them(tmp_path: Path) -> None:
    constants = CONV | {
        "s": np.array([0.5], np.float32),
        "f": np.array([0.25], np.float32),
        "u": array(3, 2),
    }
    steps = [
        ("Sub", "s"),
        ("Mul", "f"),
        ("Conv", "k", "c"),
        ("GlobalAveragePool",),
        ("Flatten",),
        ("MatMul", "u"),
        ("LogSoftmax",),
    ]
    model = load(tmp_path, build(chain(*steps), constants, IMAGE))
    assert model.graph.input_shape == (2, 7, 6)
    assert model.graph.scaling == InputScaling(offset=0.5, factor=0.25)
    assert model.graph.layers == (
        Conv2d(in_channels=2, out_channels=3, kernel=(3, 2)),
        AvgPool2d(kernel=(5, 5), stride=(5, 5)),
        Flatten(),
        Linear(inputs=3, outputs=2, bias=False),
    )
    assert model.metadata == {"dropped_output": "LogSoftmax"}


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_load_onnx_keeps_the_largest_output_when_a_final_softmax_is_dropped(
    tmp_path: Path, op: str
) -> None:
    proto = build(chain(("Gemm", "wt", "b"), (op, {"axis": 1}), ("Identity",)), LINEAR)
    model = load(tmp_path, proto)
    values = array(50, 6, seed=22)
    assert model.metadata["dropped_output"] == op
    assert (ours(model, values).argmax(1) == run(proto, values).argmax(1)).all()


def test_load_onnx_reads_constants_when_they_are_nodes_and_copies(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["w0"], value=numpy_helper.from_array(W.T.copy())),
        helper.make_node("Identity", ["w0"], ["w"]),
        helper.make_node("Constant", [], ["s"], value_float=0.5),
        helper.make_node("Constant", [], ["f"], value_floats=[2.0]),
        helper.make_node("Constant", [], ["to"], value_ints=[-1, 6]),
        *chain(("Sub", "s"), ("Reshape", "to"), ("Mul", "f"), ("Gemm", "w")),
    ]
    proto = build(nodes)
    values = array(5, 6, seed=20)
    np.testing.assert_allclose(ours(load(tmp_path, proto), values), run(proto, values), atol=1e-5)


def test_load_onnx_accepts_initializers_as_inputs_when_the_file_is_old(tmp_path: Path) -> None:
    proto = build(chain(("Gemm", "wt", "b")), LINEAR, opset=9)
    for name, value in LINEAR.items():
        proto.graph.input.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape)
        )
    values = array(5, 6, seed=20)
    np.testing.assert_allclose(ours(load(tmp_path, proto), values), run(proto, values), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "kind"), [(np.float64, TensorProto.DOUBLE), (np.float16, TensorProto.FLOAT16)]
)
def test_load_onnx_converts_when_weights_are_of_another_float_type(
    tmp_path: Path, dtype: type[np.floating[Any]], kind: int
) -> None:
    proto = build(chain(("Gemm", "w")), {"w": W.T.astype(dtype)}, kind=kind)
    model = load(tmp_path, proto)
    expected = torch.tensor(W.astype(dtype).astype(np.float32))
    assert torch.equal(model.weights[0].weight, expected)


@pytest.mark.parametrize("first", [None, 1])
def test_load_onnx_accepts_when_the_batch_axis_is_open_or_one(
    tmp_path: Path, first: int | None
) -> None:
    proto = build(chain(("Gemm", "wt")), LINEAR, (first, 6))
    assert load(tmp_path, proto).graph.input_shape == (6,)


def test_load_onnx_accepts_a_reshape_to_one_when_the_batch_is_one(tmp_path: Path) -> None:
    steps = chain(("Reshape", "to"), ("Gemm", "w"))
    constants = {"to": np.array([1, -1]), "w": array(6, 2)}
    assert load(tmp_path, build(steps, constants, (1, 2, 3))).graph.layers[0] == Flatten()
    with pytest.raises(ModelError, match=r"to \[1, -1\]; only \(batch, -1\)"):
        load(tmp_path, build(steps, constants, ("batch", 2, 3)))
