"""Small ONNX graphs, made node by node."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from protocol.models.files import load_model
from protocol.models.model import Model

__all__ = [
    "IMAGE",
    "VECTOR",
    "Array",
    "Constants",
    "Nodes",
    "array",
    "build",
    "chain",
    "load",
    "node",
]

Array = NDArray[Any]
Constants = dict[str, Array]
Nodes = Sequence[onnx.NodeProto]

VECTOR = ("batch", 6)
IMAGE = ("batch", 2, 7, 6)


def array(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> Array:
    """Numbers between `low` and `high`, float32."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def node(op: str, *inputs: str, out: str = "y", **attributes: Any) -> onnx.NodeProto:
    """One node; its name is the operator's with the output's."""
    return helper.make_node(op, list(inputs), [out], name=f"{op.lower()}_{out}", **attributes)


def chain(*steps: tuple[Any, ...]) -> Nodes:
    """Nodes of a chain from `x` to `y`: `(op, *constants)` or `(op, *constants, attributes)`."""
    nodes = []
    for index, (op, *rest) in enumerate(steps):
        attributes = rest.pop() if rest and isinstance(rest[-1], dict) else {}
        source = "x" if index == 0 else f"v{index}"
        target = "y" if index == len(steps) - 1 else f"v{index + 1}"
        nodes.append(node(op, source, *rest, out=target, **attributes))
    return nodes


def build(
    nodes: Nodes,
    constants: Constants | None = None,
    shape: Sequence[str | int | None] = VECTOR,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A file with one input `x` and one output `y`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("y", kind, ["batch", None])],
        initializer=[numpy_helper.from_array(v, k) for k, v in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def load(path: Path, proto: onnx.ModelProto) -> Model:
    """What the program makes of it."""
    target = path / "net.onnx"
    target.write_bytes(proto.SerializeToString())
    return load_model(target)
