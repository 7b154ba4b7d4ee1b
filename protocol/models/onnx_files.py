"""ONNX files: networks from elsewhere in, models out.

onnx itself is imported only when a file is read or written.
"""

import os
from pathlib import Path

from drivers.errors import ModelError, OutputError
from protocol.models._disk import MAX_FILE_BYTES, in_file, read_capped, write_together
from protocol.models.graph import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Graph,
    Linear,
    MaxPool2d,
    Relu,
)
from protocol.models.model import Model

__all__ = ["check_onnx_export", "load_onnx", "save_onnx"]

_EXPORTED = (Linear, Conv2d, Relu, Flatten, MaxPool2d, AvgPool2d)


def load_onnx(path: str | os.PathLike[str]) -> Model:
    """Read a network from an ONNX file, without executing anything that it holds.

    The network must be one chain of Gemm, MatMul (with Add as its bias), Conv (no groups, equal
    padding), Relu, Flatten, Reshape to (batch, -1), MaxPool, AveragePool and GlobalAveragePool.
    BatchNormalization is folded into the layer before it; Dropout and Identity are left out; a
    final Softmax or LogSoftmax too, as it leaves the largest output the largest, and the metadata
    entry `dropped_output` names it. Sub, Div, Mul and Add by one number before the first layer
    become the input scaling. The batch axis must be dynamic or 1.

    Args:
        path: the file; data in further files is refused.

    Raises:
        ModelError: the file is missing, damaged, too large or holds something else; the message
            names the file, the node and its operator.
    """
    from protocol.models._onnx_import import import_model

    source = Path(path)
    data = read_capped(source, MAX_FILE_BYTES, "give the path of an ONNX file")
    with in_file(source):
        return import_model(data)


def check_onnx_export(graph: Graph) -> None:
    """Refuse a network with layers that are not written to ONNX files.

    Raises:
        ModelError: names the first of them.
    """
    for index, layer in enumerate(graph.layers):
        if not isinstance(layer, _EXPORTED):
            known = ", ".join(sorted(kind.kind for kind in _EXPORTED))
            raise ModelError(
                f"layer {index} ({layer.kind}) is not written to ONNX files, which take {known}; "
                "save the network with save_model (NAME.safetensors)"
            )


def save_onnx(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model as an ONNX file (operator set 17, dynamic batch) that stands alone.

    It takes raw data: the input scaling is part of it. The last layer's output keeps its own
    shape, while `Model.forward` flattens it.

    Args:
        model: what to save.
        path: `NAME.onnx`, in a folder that exists.
        overwrite: replace a file of this name.

    Raises:
        OutputError: another suffix, a file that exists, or a folder that cannot be written.
        ModelError: metadata that is not plain JSON, a scaling beyond float32, a model that is too
            large for an ONNX file, or one with a layer of tokens (`check_onnx_export`).
    """
    check_onnx_export(model.graph)
    from protocol.models._onnx_export import export_model

    target = Path(path)
    if target.suffix != ".onnx":
        raise OutputError(f"{target}: an ONNX file is named NAME.onnx; rename it")
    write_together([(target, export_model(model))], overwrite=overwrite)
