"""What each supported ONNX operator means for a chain of layers.

Operators as defined by https://onnx.ai/onnx/operators/. It is imported only when an ONNX file is
opened.
"""

import math
from collections.abc import Callable
from reprlib import repr as short

import numpy as np
import torch
from torch import Tensor

from drivers.errors import ModelError
from protocol.models._chain import ChainBuilder, to_float32
from protocol.models._onnx_reader import Array, Node
from protocol.models.graph import AvgPool2d, Flatten, InputScaling, MaxPool2d, Relu, Shape

__all__ = ["OPERATORS", "OnnxChain"]


class OnnxChain:
    """What has been read of a chain so far, and the constants that its nodes take.

    Args:
        shape: shape of one sample at the input.
        batch_is_one: the file fixes the batch axis to one sample.
        constants: by name.
    """

    def __init__(self, shape: Shape, batch_is_one: bool, constants: dict[str, Array]) -> None:
        self.builder = ChainBuilder(shape)
        self.constants = constants
        self.scaling = InputScaling()
        self.dropped_output: str | None = None
        self._batch_is_one = batch_is_one

    def read(self, node: Node) -> None:
        """Read the next node of the chain.

        Raises:
            ModelError: its operator or an attribute is not supported, or its sizes do not fit.
        """
        operator = OPERATORS.get(node.op) if node.known_domain else None
        if operator is None:
            raise ModelError(
                f"{node.where}: the operator is not supported; supported are "
                f"{', '.join(sorted(OPERATORS))} in a chain. Rebuild the network from these"
            )
        if self.dropped_output is not None and node.op not in ("Identity", "Dropout"):
            raise ModelError(
                f"{node.where}: follows {self.dropped_output}, which is supported only at the end"
            )
        if node.slot != 0 and node.op not in ("Add", "Mul"):
            raise ModelError(
                f"{node.where}: takes the data as input {node.slot}; only 0 is supported"
            )
        operator(self, node)
        node.refuse_other_attributes()

    def constant(self, node: Node, slot: int) -> Array:
        """The constant that a node takes at `slot`."""
        name = node.inputs[slot] if slot < len(node.inputs) else ""
        if name not in self.constants:
            raise ModelError(f"{node.where}: input {slot} must be a constant in the file")
        return self.constants[name]

    def weights(self, node: Node, slot: int) -> Tensor:
        """The floating-point constant at `slot`, in its own type."""
        array = self.constant(node, slot)
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelError(f"{node.where}: input {slot} is {array.dtype}; it must be float32")
        return torch.tensor(array)

    def per_row(self, node: Node, slot: int, rows: int, rank: int) -> Tensor:
        """A constant that adds one number to each output row: `(rows,)`.

        Args:
            node: the node that takes it.
            slot: where.
            rows: features, or channels of an image.
            rank: axes of the value that it is added to, the batch included.
        """
        values = self.weights(node, slot)
        full = (1,) * (rank - values.dim()) + tuple(values.shape)
        if len(full) != rank or full[1] not in (1, rows) or math.prod(full) != full[1]:
            raise ModelError(
                f"{node.where}: a constant of shape {tuple(values.shape)} is not one number for "
                f"each of {rows} outputs"
            )
        return values.reshape(-1).expand(rows)

    def number(self, node: Node, slot: int) -> float:
        """A constant that is the same for every entry of the input."""
        values = self.weights(node, slot)
        target = (1, *self.builder.shape)
        full = (1,) * (len(target) - values.dim()) + tuple(values.shape)
        if (
            len(full) != len(target)
            or any(size not in (1, wide) for size, wide in zip(full, target, strict=True))
            or not bool((values == values.reshape(-1)[:1]).all())
        ):
            raise ModelError(
                f"{node.where}: scales the entries differently; only one number for all entries of "
                "the input is supported: scale the data beforehand"
            )
        return float(values.reshape(-1)[0])

    @property
    def at_input(self) -> bool:
        """Whether nothing but a flattening has happened to the data yet."""
        return all(isinstance(layer, Flatten) for layer in self.builder.layers)

    def rescale(self, node: Node, *, shift: float = 0.0, factor: float = 1.0) -> None:
        """Take `(z + shift) * factor` into the input scaling."""
        try:
            self.scaling = InputScaling(
                offset=self.scaling.offset - shift / self.scaling.factor,
                factor=self.scaling.factor * factor,
            )
        except ModelError as error:
            raise ModelError(f"{node.where}: {error}") from error

    def keeps_batch(self, first: int) -> bool:
        """Whether `first`, the first entry of a new shape, leaves the batch axis as it is."""
        return first == 0 or (first == 1 and self._batch_is_one)


def _gemm(chain: OnnxChain, node: Node) -> None:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    node.require("transA", node.whole("transA", 0), 0)
    weight = chain.weights(node, 1)
    if weight.dim() != 2:
        raise ModelError(f"{node.where}: weight has {weight.dim()} axes, it must have 2")
    weight = weight if node.whole("transB", 0) else weight.T
    bias = None
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = chain.per_row(node, 2, weight.shape[0], 2)
        bias = bias if beta == 1 else bias.double() * beta
    weight = weight if alpha == 1 else weight.double() * alpha
    chain.builder.add_linear(node.where, weight, bias)


def _matmul(chain: OnnxChain, node: Node) -> None:
    weight = chain.weights(node, 1)
    if weight.dim() != 2:
        raise ModelError(f"{node.where}: weight has {weight.dim()} axes, it must have 2")
    chain.builder.add_linear(node.where, weight.T, None)


def _conv(chain: OnnxChain, node: Node) -> None:
    weight = chain.weights(node, 1)
    if weight.dim() != 4:
        raise ModelError(f"{node.where}: weight has {weight.dim()} axes; only images are supported")
    node.require("group", node.whole("group", 1), 1)
    height, width = weight.shape[2:]
    if node.wholes("kernel_shape", 2, 0) not in ((height, width), (0, 0)):
        raise ModelError(f"{node.where}: kernel_shape differs from the weight's {height, width}")
    has_bias = len(node.inputs) > 2 and node.inputs[2]
    bias = chain.weights(node, 2) if has_bias else None
    chain.builder.add_conv(
        node.where,
        weight,
        bias,
        stride=_pair(node.wholes("strides", 2, 1)),
        padding=_padding(node),
        dilation=_pair(node.wholes("dilations", 2, 1)),
    )


def _batch_norm(chain: OnnxChain, node: Node) -> None:
    node.require("training_mode", node.whole("training_mode", 0), 0)
    node.number("momentum", 0.9)  # only used in training
    epsilon = node.number("epsilon", 1e-5)
    if any(node.outputs[1:]):
        raise ModelError(f"{node.where}: is in training mode; export it in evaluation mode")
    gain, shift, mean, variance = (
        to_float32(f"{node.where}: input {i}", chain.weights(node, i)) for i in range(1, 5)
    )
    chain.builder.fold_batch_norm(
        node.where, mean=mean, variance=variance, gain=gain, shift=shift, epsilon=epsilon
    )


def _add(chain: OnnxChain, node: Node) -> None:
    if chain.at_input:
        chain.rescale(node, shift=chain.number(node, 1 - node.slot))
        return
    shape = chain.builder.shape
    shift = chain.per_row(node, 1 - node.slot, shape[0], 1 + len(shape))
    chain.builder.fold_rows(node.where, None, shift)


def _scale(chain: OnnxChain, node: Node) -> None:
    if not chain.at_input:
        raise ModelError(
            f"{node.where}: is supported only before the first layer, to scale the input; fold it "
            "into the weights beside it"
        )
    number = chain.number(node, 1 - node.slot)
    if node.op == "Sub":
        chain.rescale(node, shift=-number)
    elif number == 0:
        raise ModelError(f"{node.where}: scales the input by 0; correct the constant")
    else:
        chain.rescale(node, factor=number if node.op == "Mul" else 1 / number)


def _relu(chain: OnnxChain, node: Node) -> None:
    chain.builder.add(node.where, Relu())


def _flatten(chain: OnnxChain, node: Node) -> None:
    node.require("axis", node.whole("axis", 1), 1)
    chain.builder.add(node.where, Flatten())


def _reshape(chain: OnnxChain, node: Node) -> None:
    wanted = chain.constant(node, 1).tolist()
    zero_copies = node.whole("allowzero", 0) == 0  # else 0 means an axis without entries
    entries = math.prod(chain.builder.shape)
    fits = (
        isinstance(wanted, list)
        and len(wanted) == 2
        and (zero_copies or 0 not in wanted)
        and (
            (wanted[0] == -1 and wanted[1] == entries)
            or (chain.keeps_batch(wanted[0]) and wanted[1] in (-1, entries))
        )
    )
    if not fits:
        raise ModelError(
            f"{node.where}: to {short(wanted)}; only (batch, -1), which flattens a sample, is "
            "supported"
        )
    chain.builder.add(node.where, Flatten())


def _max_pool(chain: OnnxChain, node: Node) -> None:
    node.whole("storage_order", 0)  # only of the output Indices
    kernel, stride, padding = _pooling(node)
    chain.builder.add(node.where, MaxPool2d(kernel=kernel, stride=stride, padding=padding))


def _average_pool(chain: OnnxChain, node: Node) -> None:
    counted = node.whole("count_include_pad", 0)
    kernel, stride, padding = _pooling(node)
    if padding != (0, 0):
        node.require("count_include_pad", counted, 1)
    chain.builder.add(node.where, AvgPool2d(kernel=kernel, stride=stride, padding=padding))


def _global_average_pool(chain: OnnxChain, node: Node) -> None:
    if len(chain.builder.shape) != 3:
        raise ModelError(f"{node.where}: takes an image, but gets {chain.builder.shape}")
    whole = _pair(chain.builder.shape[1:])
    chain.builder.add(node.where, AvgPool2d(kernel=whole, stride=whole))


def _drop(chain: OnnxChain, node: Node) -> None:
    if node.op == "Dropout":
        node.number("ratio", 0.5)
        node.whole("seed", 0)
        if len(node.inputs) > 2 and node.inputs[2] and chain.constant(node, 2).any():
            raise ModelError(f"{node.where}: is in training mode; export it in evaluation mode")


def _final_softmax(chain: OnnxChain, node: Node) -> None:
    axis = node.whole("axis", 1)
    if len(chain.builder.shape) != 1 or axis not in (1, -1):
        raise ModelError(f"{node.where}: is supported only over the outputs of the last layer")
    chain.dropped_output = node.op


def _pooling(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Kernel, stride and padding of a pooling node."""
    node.require("ceil_mode", node.whole("ceil_mode", 0), 0)
    if node.wholes("dilations", 2, 1) != (1, 1):
        raise ModelError(f"{node.where}: dilations are not supported")
    kernel = _pair(node.wholes("kernel_shape", 2, 0))
    return kernel, _pair(node.wholes("strides", 2, 1)), _padding(node)


def _padding(node: Node) -> tuple[int, int]:
    automatic = node.text("auto_pad", "NOTSET")
    top, left, bottom, right = node.wholes("pads", 4, 0)
    if automatic not in ("NOTSET", "VALID"):
        raise ModelError(
            f"{node.where}: auto_pad={short(automatic)} is not supported; export with explicit pads"
        )
    if automatic == "VALID" and (top, left, bottom, right) != (0, 0, 0, 0):
        raise ModelError(f"{node.where}: auto_pad=VALID contradicts its pads; export it again")
    if (top, left) != (bottom, right):
        raise ModelError(
            f"{node.where}: pads {(top, left, bottom, right)} differ between the sides; only equal "
            "padding is supported"
        )
    return top, left


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    first, second = values
    return first, second


OPERATORS: dict[str, Callable[[OnnxChain, Node], None]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "Div": _scale,
    "Dropout": _drop,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": _drop,
    "LogSoftmax": _final_softmax,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Mul": _scale,
    "Relu": _relu,
    "Reshape": _reshape,
    "Softmax": _final_softmax,
    "Sub": _scale,
}
