"""ONNX files in: what is refused, and that the message names the node and the problem."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from drivers.errors import ModelError
from protocol.models.onnx_files import load_onnx
from tests.unit.protocol.onnx_graphs import (
    IMAGE,
    VECTOR,
    Constants,
    Nodes,
    array,
    build,
    chain,
    load,
    node,
)

W, B = array(4, 6, seed=1), array(4, seed=2)
LINEAR = {"w": W, "b": B, "wt": W.T.copy()}
CONV = {"k": array(3, 2, 3, 2, seed=3)}


def pool(**attributes: Any) -> Nodes:
    return chain(("Conv", "k"), ("MaxPool", {"kernel_shape": [2, 2], **attributes}))


def average(**attributes: Any) -> Nodes:
    return chain(("Conv", "k"), ("AveragePool", {"kernel_shape": [2, 2], **attributes}))


LINEAR_REFUSALS: list[tuple[Nodes, Constants, str]] = [
    (chain(("Gemm", "wt"), ("Gelu",)), {}, r"'gelu_y' \(Gelu\): the operator is not supp"),
    (chain(("Gemm", "wt"), ("Sigmoid",)), {}, r"'sigmoid_y' \(Sigmoid\).*supported are Add, Aver"),
    (chain(("Gemm", "w")), {}, "linear layer takes .4,., but gets .6,."),
    (chain(("Gemm", "wt", {"transA": 1})), {}, "transA=1; only transA=0"),
    (chain(("Gemm", "wt", {"alpha": math.nan})), {}, "alpha is nan; it must be finite"),
    (chain(("Gemm", "wt", {"alpha": 0.0})), {}, "all weights are zero"),
    (chain(("Gemm", "wt", "z")), {"z": array(1, 5)}, r"shape \(1, 5\) is not one number for each"),
    (chain(("Gemm", "z")), {"z": array(6)}, "weight has 1 axes"),
    (chain(("MatMul", "z")), {"z": array(1, 6, 4)}, "weight has 3 axes"),
    (chain(("Gemm", "z")), {"z": np.ones((6, 4), np.int64)}, "input 1 is int64"),
    (chain(("Gemm", "z")), {"z": np.ones((6, 4), np.uint8)}, "initializer 'z': type 2 is not"),
    (chain(("Gemm", "z")), {"z": np.full((6, 4), np.nan, np.float32)}, "24 of 24 values are NaN"),
    (chain(("Gemm", "z")), {"z": np.full((6, 4), 1e39)}, "largest magnitude 1e.39 exceeds"),
    ([node("MatMul", "w", "x")], {}, "takes the data as input 1; only 0"),
    ([node("Sub", "b", "x")], {}, "takes the data as input 1; only 0"),
    ([node("Add", "x", "x")], {}, "value 'x' is used 2 times; only a chain"),
    (
        [node("Gemm", "x", "wt", out="v"), node("Relu", "v", out="u"), node("Add", "u", "v")],
        {},
        "value 'v' is used 2 times",
    ),
    (
        [node("Gemm", "x", "wt", out="y"), node("Relu", "y", out="u")],
        {},
        "the chain ends at value 'u', not at the output 'y'",
    ),
    ([node("Gemm", "x", "wt"), node("Relu", "b", out="u")], {}, "relu_u.*is not on the chain"),
    (chain(("Gemm", "wt"), ("Mul", "b")), {}, "is supported only before the first layer"),
    (chain(("Gemm", "wt"), ("Relu",), ("Add", "b")), {}, "can only be folded into a linear"),
    (chain(("Sub", "z"), ("Gemm", "wt")), {"z": array(6)}, "scales the entries differently"),
    (chain(("Sub", "z"), ("Gemm", "wt")), {"z": array(1, 1, 1)}, "scales the entries differently"),
    (
        chain(("Mul", "z"), ("Gemm", "wt")),
        {"z": np.array([0], np.float32)},
        "scales the input by 0",
    ),
    (
        chain(("Div", "z"), ("Gemm", "wt")),
        {"z": np.array([0], np.float32)},
        "scales the input by 0",
    ),
    (
        chain(("Sub", "z"), ("Gemm", "wt")),
        {"z": np.array([np.inf], np.float32)},
        "sub_v1.*finite numbers",
    ),
    (
        chain(("Mul", "z"), ("Mul", "z"), ("Gemm", "wt")),
        {"z": np.array([1e-200])},
        r"'mul_v2' \(Mul\): input scaling needs .* a factor that is not 0",
    ),
    (chain(("Gemm", "wt"), ("Softmax",), ("Relu",)), {}, "follows Softmax, which is supported onl"),
    (chain(("Gemm", "wt"), ("Softmax", {"axis": 0})), {}, "only over the outputs of the last"),
    (chain(("Gemm", "wt"), ("Flatten", {"axis": 0})), {}, "axis=0; only axis=1"),
    (chain(("Gemm", "wt"), ("Reshape", "z")), {"z": np.array([2, -1])}, r"to \[2, -1\]; only"),
    (chain(("Gemm", "wt"), ("Reshape", "z")), {"z": np.array([-1, 2])}, r"to \[-1, 2\]; only"),
    (chain(("Gemm", "wt"), ("Reshape", "z")), {"z": np.array([0, 2, 2])}, r"to \[0, 2, 2\]; only"),
    (
        chain(("Gemm", "wt"), ("Reshape", "z", {"allowzero": 1})),
        {"z": np.array([0, -1])},
        r"to \[0, -1\]; only",
    ),
    (
        [node("Gemm", "x", "wt", out="v"), node("Reshape", "v", "v")],
        {},
        "value 'v' is used 2 times",
    ),
    (
        chain(("Gemm", "wt"), ("Dropout", "r", "t")),
        {"r": np.array(0.5, np.float32), "t": np.array(True)},
        "is in training mode",
    ),
    (
        chain(("BatchNormalization", "b", "b", "b", "z"), ("Gemm", "wt")),
        {"z": array(4, low=0.5)},
        "can only be folded into a linear or convolutional layer directly before it",
    ),
    (
        chain(("Gemm", "wt"), ("BatchNormalization", "b", "b", "b", "z")),
        {"z": np.array([1, 1, -1, 1], np.float32)},
        "variance . epsilon must be positive",
    ),
    (
        chain(("Gemm", "wt"), ("BatchNormalization", "b", "b", "b", "z")),
        {"z": array(3, low=0.5)},
        "its parameters differ in size",
    ),
    (chain(("Gemm", "wt"), ("GlobalAveragePool",)), {}, "takes an image"),
    (chain(("Relu",)), {}, "no linear or convolutional layer"),
    ([helper.make_node("Relu", ["x"], ["y"], domain="evil")], {}, "Relu.: the operator is not"),
]


@pytest.mark.parametrize(("nodes", "constants", "message"), LINEAR_REFUSALS)
def test_load_onnx_names_the_node_when_a_linear_chain_is_not_supported(
    tmp_path: Path, nodes: Nodes, constants: Constants, message: str
) -> None:
    opset = 20 if any(n.op_type == "Gelu" for n in nodes) else 17
    proto = build(nodes, LINEAR | constants, opset=opset)
    proto.opset_import.append(helper.make_opsetid("evil", 1))
    with pytest.raises(ModelError, match="net.onnx: .*(" + message + ")"):
        load(tmp_path, proto)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (chain(("Conv", "g", {"group": 2})), "group=2; only group=1"),
        (chain(("Conv", "k", {"pads": [1, 0, 0, 0]})), r"pads \(1, 0, 0, 0\) differ between"),
        (chain(("Conv", "k", {"pads": [-1, 0, -1, 0]})), "padding must be at least 0"),
        (chain(("Conv", "k", {"auto_pad": "SAME_UPPER"})), "auto_pad='SAME_UPPER' is not supp"),
        (chain(("Conv", "k", {"auto_pad": "VALID", "pads": [1, 1, 1, 1]})), "contradicts its"),
        (chain(("Conv", "k", {"kernel_shape": [2, 2]})), "kernel_shape differs"),
        (chain(("Conv", "k", {"strides": [1, 1, 1]})), "strides needs 2 numbers, got 3"),
        (chain(("Conv", "k", {"strides": [0, 1]})), "stride must be at least 1"),
        (chain(("Conv", "k", {"strides": 2})), "attribute strides is of the wrong type|refuses"),
        (chain(("Conv", "k", "wrong")), r"bias has shape \(4,\), the layer has 3 rows"),
        (chain(("Conv", "deep")), "weight has 5 axes; only images"),
        (pool(ceil_mode=1), "ceil_mode=1; only ceil_mode=0"),
        (pool(dilations=[2, 1]), "dilations are not supported"),
        (pool(pads=[2, 2, 2, 2]), "padding .2, 2. exceeds half"),
        (average(pads=[1, 1, 1, 1]), "count_include_pad=0; only count_include_pad=1"),
        (average(ceil_mode=1), "ceil_mode=1; only"),
        (chain(("Conv", "k"), ("Softmax",)), "only over the outputs of the last layer"),
        (
            [
                node("Conv", "x", "k", out="v"),
                helper.make_node("MaxPool", ["v"], ["y", "where"], kernel_shape=[2, 2]),
                node("Relu", "where", out="z"),
            ],
            "relu_z.*is not on the chain",
        ),
    ],
)
def test_load_onnx_names_the_node_when_an_image_chain_is_not_supported(
    tmp_path: Path, nodes: Nodes, message: str
) -> None:
    constants = CONV | {"g": array(4, 1, 3, 3), "deep": array(3, 2, 3, 2, 1), "wrong": array(4)}
    with pytest.raises(ModelError, match="net.onnx: .*(" + message + ")"):
        load(tmp_path, build(nodes, constants, IMAGE))


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((32, 6), TensorProto.FLOAT, "is fixed to batches of 32"),
        (("batch", "features"), TensorProto.FLOAT, "every axis but the first needs a fixed size"),
        (("batch", 0), TensorProto.FLOAT, "every axis but the first needs a fixed size"),
        (("batch",), TensorProto.FLOAT, "has 1 axes"),
        (("batch", 1, 1, 1, 1, 6), TensorProto.FLOAT, "has 6 axes"),
        (VECTOR, TensorProto.UINT8, "must be a float tensor"),
    ],
)
def test_load_onnx_refuses_when_the_input_has_no_usable_shape(
    tmp_path: Path, shape: Sequence[str | int], kind: int, message: str
) -> None:
    with pytest.raises(ModelError, match="input 'x'.*" + message):
        load(tmp_path, build(chain(("Gemm", "wt")), LINEAR, shape, kind=kind))


def external_initializer(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def external_constant(proto: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(W, "t")
    tensor.external_data.add(key="location", value="weights.bin")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))


def huge_initializer(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]


def overflowing_initializer(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].dims[:] = [1 << 32, 1 << 32]


def short_initializer(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].raw_data = b"\0" * 5


def subgraph(proto: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    proto.graph.node.append(
        helper.make_node("If", ["y"], ["z"], then_branch=inner, else_branch=inner)
    )


def function(proto: onnx.ModelProto) -> None:
    opset = [helper.make_opsetid("", 17)]
    proto.functions.append(
        helper.make_function("own", "Relu", ["a"], ["b"], [node("Relu", "a", out="b")], opset)
    )


def sparse(proto: onnx.ModelProto) -> None:
    proto.graph.sparse_initializer.add()


def many_nodes(proto: onnx.ModelProto) -> None:
    for _ in range(4096):
        proto.graph.node.add(op_type="Relu")


def two_outputs(proto: onnx.ModelProto) -> None:
    proto.graph.output.append(helper.make_tensor_value_info("v1", TensorProto.FLOAT, [1, 4]))


def two_inputs(proto: onnx.ModelProto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("x2", TensorProto.FLOAT, [1, 6]))


def old_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 8


def new_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 999


def cycle(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].output[0] = "x"


def no_nodes(proto: onnx.ModelProto) -> None:
    proto.graph.ClearField("node")


def unknown_attribute(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].attribute.append(helper.make_attribute("transC", 1))


def bad_metadata(proto: onnx.ModelProto) -> None:
    proto.metadata_props.add(key="veilight.metadata", value="[1]")


def bad_name(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].input[0] = "elsewhere"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_initializer, "initializer 'w.*': its data is in another file, and such paths"),
        (external_constant, r"node 0 \(Constant\): its data is in another file"),
        (subgraph, "If.: subgraphs are not supported"),
        (function, "functions and sparse weights are not supported"),
        (sparse, "functions and sparse weights are not supported"),
        (many_nodes, "4098 nodes exceed the cap of 4096"),
        (two_outputs, "2 outputs; only one"),
        (two_inputs, "2 inputs; only one"),
        (old_opset, r"operator set \[8\] is not supported, 9 to"),
        (new_opset, r"operator set \[999\] is not supported"),
        (no_nodes, "it has no nodes"),
        (bad_metadata, "property veilight.metadata must be a JSON object"),
    ],
)
def test_load_onnx_refuses_when_the_file_holds_what_no_chain_needs(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    proto = build(chain(("Gemm", "wt"), ("Relu",)), {"wt": LINEAR["wt"]})
    change(proto)
    with pytest.raises(ModelError, match="net.onnx: .*(" + message + ")"):
        load(tmp_path, proto)


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (huge_initializer, r"initializer 'wt': shape \[1099511627776, 1048576\] exceeds the cap"),
        (overflowing_initializer, r"shape \[4294967296, 4294967296\] exceeds the cap"),
        (short_initializer, "initializer 'wt': shape and data do not fit"),
        (cycle, "value 'x' is used 1 times|the nodes form no chain"),
        (unknown_attribute, "attribute 'transC' is not supported"),
        (bad_name, "the chain ends at value 'v1', not at the output 'y'"),
    ],
)
def test_load_onnx_refuses_a_broken_file_when_the_checker_sees_it_and_when_not(
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    message: str,
    checked: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if checked:
        message += "|onnx.checker refuses it"  # what it finds differs between its versions
    else:
        monkeypatch.setattr(onnx.checker, "check_model", lambda data: None)
    proto = build(chain(("Gemm", "wt"), ("Relu",)), {"wt": LINEAR["wt"]})
    change(proto)
    with pytest.raises(ModelError, match="net.onnx: .*(" + message + ")"):
        load(tmp_path, proto)


def test_load_onnx_opens_no_other_file_when_external_data_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    proto = build(chain(("Gemm", "wt")), {"wt": LINEAR["wt"]})
    onnx.save_model(
        proto,
        "net.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(ModelError, match="'wt': its data is in another file"):
        load_onnx("net.onnx")


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"not an onnx file", b"\x80\x04K\x01."])
def test_load_onnx_refuses_when_the_file_is_something_else(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "net.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"net\.onnx: not an ONNX file, or damaged"):
        load_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize(("name", "usable"), [(b"relu_y", True), (b"v1", True), (b"Relu", False)])
def test_load_onnx_minds_only_the_operator_when_names_are_not_text(
    tmp_path: Path, name: bytes, usable: bool
) -> None:
    path = tmp_path / "net.onnx"
    data = build(chain(("Gemm", "wt"), ("Relu",)), LINEAR).SerializeToString()
    path.write_bytes(data.replace(name, b"\xff\xfe\xfd\xfc\xfb\xfa"[: len(name)]))
    if usable:
        assert load_onnx(path).graph.shapes == ((6,), (4,), (4,))
    else:
        with pytest.raises(ModelError, match=r"net\.onnx"):
            load_onnx(path)
