"""What an ONNX file says: parsed and checked messages, constants, and the attributes of nodes.

Nothing here knows what an operator means; `_onnx_import` does. It imports onnx, so it is itself
imported only when an ONNX file is opened.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from reprlib import repr as short
from typing import TypeAlias

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from drivers.errors import ModelError
from protocol.models.graph import MAX_ENTRIES, Shape

__all__ = ["Array", "Node", "constants_of", "parse_model", "read_input"]

Array: TypeAlias = NDArray[np.generic]

MAX_NODES = 4096
OLDEST_OPSET = 9

_FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16})
_CONSTANT_TYPES = _FLOATS | {onnx.TensorProto.INT64, onnx.TensorProto.BOOL}
_DOMAINS = ("", "ai.onnx")


class Node:
    """One node, with typed access to its attributes and errors that name it.

    Args:
        proto: the node.
        index: its place in the file, for nodes without a name.
    """

    def __init__(self, proto: onnx.NodeProto, index: int) -> None:
        self.op = proto.op_type
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)
        self.slot = 0  # place of the data among the inputs
        self.where = f"node {short(proto.name or index)} ({self.op[:40]})"
        self.known_domain = proto.domain in _DOMAINS
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}

    def whole(self, name: str, default: int) -> int:
        """A whole-number attribute."""
        found = self._take(name, onnx.AttributeProto.INT)
        return default if found is None else found.i

    def number(self, name: str, default: float) -> float:
        """A float attribute, finite."""
        found = self._take(name, onnx.AttributeProto.FLOAT)
        if found is None:
            return default
        if not math.isfinite(found.f):
            raise ModelError(f"{self.where}: {name} is {found.f}; it must be finite")
        return found.f

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        found = self._take(name, onnx.AttributeProto.STRING)
        return default if found is None else found.s.decode("ascii", "replace")

    def wholes(self, name: str, count: int, default: int) -> tuple[int, ...]:
        """An attribute of `count` whole numbers; `default` fills it where it is not given."""
        found = self._take(name, onnx.AttributeProto.INTS)
        if found is None:
            return (default,) * count
        if len(found.ints) != count:
            raise ModelError(f"{self.where}: {name} needs {count} numbers, got {len(found.ints)}")
        return tuple(found.ints)

    def require(self, name: str, value: int, allowed: int) -> None:
        """Refuse another value than the one that is supported."""
        if value != allowed:
            raise ModelError(f"{self.where}: {name}={value}; only {name}={allowed} is supported")

    def constant(self) -> Array:
        """The value of a Constant node."""
        found = next(iter(self._attributes.values()), None)
        kinds = onnx.AttributeProto
        if found is not None and len(self._attributes) == 1:
            if (found.name, found.type) == ("value", kinds.TENSOR):
                return _array(self.where, found.t)
            if (found.name, found.type) == ("value_float", kinds.FLOAT):
                return np.asarray(found.f, dtype=np.float32)
            if (found.name, found.type) == ("value_floats", kinds.FLOATS):
                return np.asarray(found.floats, dtype=np.float32)
            if (found.name, found.type) == ("value_int", kinds.INT):
                return np.asarray(found.i, dtype=np.int64)
            if (found.name, found.type) == ("value_ints", kinds.INTS):
                return np.asarray(found.ints, dtype=np.int64)
        raise ModelError(f"{self.where}: only tensors and numbers are supported as constants")

    def refuse_other_attributes(self) -> None:
        """Refuse what no call has asked for: it could change the result."""
        for name in self._attributes:
            raise ModelError(f"{self.where}: attribute {short(name)} is not supported; remove it")

    def _take(self, name: str, kind: int) -> onnx.AttributeProto | None:
        found: onnx.AttributeProto | None = self._attributes.pop(name, None)
        if found is not None and found.type != kind:
            raise ModelError(f"{self.where}: attribute {name} is of the wrong type; export it anew")
        return found


def parse_model(data: bytes) -> onnx.ModelProto:
    """The parsed content of an ONNX file, after all checks that need no operator's meaning.

    Raises:
        ModelError: not an ONNX file, damaged, data in other files, functions or subgraphs, an
            operator set that is not supported, or whatever `onnx.checker` finds.
    """
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"not an ONNX file, or damaged: {error}; export it again") from error
    if not proto.graph.node:
        raise ModelError("not an ONNX file, or damaged: it has no nodes; export it again")
    if len(proto.graph.node) > MAX_NODES:
        raise ModelError(f"{len(proto.graph.node)} nodes exceed the cap of {MAX_NODES}")
    if proto.functions or proto.graph.sparse_initializer:
        raise ModelError("functions and sparse weights are not supported; export it without them")
    for where, tensor in _tensors(proto):
        # Before anything else sees them: the checker would look for the files.
        if tensor.external_data or tensor.data_location != onnx.TensorProto.DEFAULT:
            raise ModelError(
                f"{where}: its data is in another file, and such paths are not followed; save the "
                "model as one file (torch.onnx.export(..., external_data=False) or "
                "onnx.save_model(..., save_as_external_data=False))"
            )
    _check_opset(proto)
    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        raise ModelError(f"onnx.checker refuses it: {reason}; export it again") from error
    return proto


def constants_of(graph: onnx.GraphProto) -> dict[str, Array]:
    """The initializers of a graph by name.

    Raises:
        ModelError: a type that is not supported, or a size that does not fit the data.
    """
    return {
        tensor.name: _array(f"initializer {short(tensor.name)}", tensor)
        for tensor in graph.initializer
    }


def read_input(graph: onnx.GraphProto, constants: Mapping[str, Array]) -> tuple[str, Shape, bool]:
    """Name of the input, shape of one sample, and whether the batch is fixed to one sample.

    Raises:
        ModelError: not exactly one input, or a shape or type that is not supported.
    """
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ModelError(f"{len(inputs)} inputs; only one input is supported")
    where = f"input {short(inputs[0].name)}"
    if inputs[0].type.tensor_type.elem_type not in _FLOATS:
        raise ModelError(f"{where}: must be a float tensor; export it with a float input")
    dims = inputs[0].type.tensor_type.shape.dim
    if not 2 <= len(dims) <= 5:
        raise ModelError(
            f"{where}: has {len(dims)} axes; a batch axis and 1 to 4 others are needed"
        )
    if dims[0].HasField("dim_value") and dims[0].dim_value != 1:
        raise ModelError(
            f"{where}: is fixed to batches of {dims[0].dim_value}; export it with a dynamic batch "
            "axis or a batch of 1"
        )
    if not all(dim.HasField("dim_value") and dim.dim_value > 0 for dim in dims[1:]):
        raise ModelError(f"{where}: every axis but the first needs a fixed size; export it so")
    sample = tuple(dim.dim_value for dim in dims[1:])
    return inputs[0].name, sample, dims[0].HasField("dim_value")


def _tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in proto.graph.initializer:
        yield f"initializer {short(tensor.name)}", tensor
    for index, node in enumerate(proto.graph.node):
        where = f"node {short(node.name or index)} ({node.op_type[:40]})"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise ModelError(f"{where}: subgraphs are not supported; only a chain of layers is")
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ModelError(f"{where}: sparse constants are not supported; make them dense")
            for tensor in (attribute.t, *attribute.tensors):
                yield where, tensor


def _check_opset(proto: onnx.ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions = [entry.version for entry in proto.opset_import if entry.domain in _DOMAINS]
    if len(versions) != 1 or not OLDEST_OPSET <= versions[0] <= newest:
        raise ModelError(
            f"operator set {versions} is not supported, {OLDEST_OPSET} to {newest} are; export it "
            "with opset 17"
        )


def _array(where: str, tensor: onnx.TensorProto) -> Array:
    if tensor.data_type not in _CONSTANT_TYPES:
        raise ModelError(
            f"{where}: type {tensor.data_type} is not supported; weights must be FLOAT, DOUBLE or "
            "FLOAT16"
        )
    dims: Sequence[int] = tensor.dims
    if any(size < 0 for size in dims) or math.prod(dims) > MAX_ENTRIES:
        raise ModelError(f"{where}: shape {short(list(dims))} exceeds the cap of {MAX_ENTRIES}")
    try:
        return np.array(numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise ModelError(f"{where}: shape and data do not fit: {error}; export it again") from error
