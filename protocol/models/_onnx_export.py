"""From a model to an ONNX file that stands alone: input scaling, layers and weights.

It is imported only when an ONNX file is written.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from drivers.errors import ModelError
from protocol.models._disk import MAX_FILE_BYTES
from protocol.models._json import encode_json
from protocol.models._onnx_import import METADATA_KEY, SCALING_KEY
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    InputScaling,
    MaxPool2d,
    OpticalLayer,
)
from protocol.models.model import Model

__all__ = ["export_model"]

OPSET = 17
IR_VERSION = 8
"""Old enough for every runtime of the last years; nothing newer is needed."""

_OVERHEAD_BYTES = 1 << 23


def export_model(model: Model) -> bytes:
    """The bytes of an ONNX file.

    Raises:
        ModelError: metadata that is not plain JSON, a scaling beyond float32, or more weights
            than an ONNX file can hold.
    """
    size = 4 * sum(model.matrix(index).numel() for index in model.graph.optical)
    if size + _OVERHEAD_BYTES > MAX_FILE_BYTES:
        raise ModelError(
            f"{size} bytes of weights exceed what an ONNX file can hold; use save_model"
        )
    writer = _Writer()
    writer.scale(model.graph.scaling)
    for index in range(len(model.graph.layers)):
        writer.layer(model, index)
    return writer.finish(model)


class _Writer:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.value = "input"

    def scale(self, scaling: InputScaling) -> None:
        for op, name, number, neutral in (
            ("Sub", "offset", scaling.offset, 0.0),
            ("Mul", "factor", scaling.factor, 1.0),
        ):
            if number != neutral:
                with np.errstate(over="ignore", under="ignore"):
                    rounded = np.float32(number)
                if not np.isfinite(rounded) or rounded == 0:
                    raise ModelError(
                        f"input scaling: {name} {number:.3g} is beyond float32; scale the data "
                        "beforehand"
                    )
                self._constant(f"scaling.{name}", np.asarray(rounded))
                self._node(f"scaling.{name}.{op}", op, [f"scaling.{name}"])

    def layer(self, model: Model, index: int) -> None:
        layer = model.graph.layers[index]
        name = f"layers.{index}"
        if isinstance(layer, OpticalLayer):
            weights = model.weights[index]
            operands = [f"{name}.weight"]
            self._weights(f"{name}.weight", weights.weight)
            if weights.bias is not None:
                operands.append(f"{name}.bias")
                self._weights(f"{name}.bias", weights.bias)
            if isinstance(layer, Conv2d):
                self._node(name, "Conv", operands, **_windows(layer), dilations=layer.dilation)
            else:
                self._node(name, "Gemm", operands, transB=1)
        elif isinstance(layer, MaxPool2d):
            self._node(name, "MaxPool", [], **_windows(layer))
        elif isinstance(layer, AvgPool2d):
            self._node(name, "AveragePool", [], **_windows(layer), count_include_pad=1)
        elif isinstance(layer, Flatten):
            self._node(name, "Flatten", [], axis=1)
        else:
            self._node(name, "Relu", [])

    def finish(self, model: Model) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "veilight",
            [_batch("input", model.graph.input_shape)],
            [_batch(self.value, model.graph.shapes[-1])],
            initializer=self.constants,
        )
        proto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="veilight",
        )
        scaling: dict[str, object] = {
            "offset": float(model.graph.scaling.offset),
            "factor": float(model.graph.scaling.factor),
        }
        properties = {
            METADATA_KEY: encode_json("metadata", dict(model.metadata)).decode(),
            SCALING_KEY: encode_json("scaling", scaling).decode(),
        }
        helper.set_model_props(proto, properties)
        data: bytes = proto.SerializeToString(deterministic=True)
        onnx.checker.check_model(data)
        return data

    def _node(self, name: str, op: str, operands: list[str], **attributes: Any) -> None:
        result = f"{name}.output"
        self.nodes.append(
            helper.make_node(op, [self.value, *operands], [result], name=name, **attributes)
        )
        self.value = result

    def _weights(self, name: str, values: Tensor) -> None:
        self._constant(name, values.detach().cpu().contiguous().numpy())

    def _constant(
        self, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    ) -> None:
        self.constants.append(numpy_helper.from_array(values, name))


def _windows(layer: Conv2d | MaxPool2d | AvgPool2d) -> dict[str, tuple[int, ...]]:
    return {
        "kernel_shape": layer.kernel,
        "strides": layer.stride,
        "pads": (*layer.padding, *layer.padding),
    }


def _batch(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
