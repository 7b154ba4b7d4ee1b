"""From the bytes of an ONNX file to a model: follows the one chain of nodes.

It is imported only when an ONNX file is opened.
"""

import math
from collections import defaultdict
from reprlib import repr as short

import onnx

from drivers.errors import ModelError
from protocol.models._json import decode_json_object
from protocol.models._onnx_operators import OnnxChain
from protocol.models._onnx_reader import Array, Node, constants_of, parse_model, read_input
from protocol.models.graph import InputScaling
from protocol.models.model import Model

__all__ = ["METADATA_KEY", "SCALING_KEY", "import_model"]

METADATA_KEY = "veilight.metadata"
SCALING_KEY = "veilight.scaling"
"""Properties of the file that keep what its nodes cannot: metadata, and scaling in float64."""


def import_model(data: bytes) -> Model:
    """The model in the bytes of an ONNX file.

    Raises:
        ModelError: see `protocol.models.onnx_files.load_onnx`.
    """
    proto = parse_model(data)
    chain = _follow(proto.graph)
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    metadata: dict[str, object] = {}
    if METADATA_KEY in properties:
        metadata = decode_json_object(f"property {METADATA_KEY}", properties[METADATA_KEY])
    if chain.dropped_output is not None:
        metadata["dropped_output"] = chain.dropped_output
    scaling = chain.scaling
    if SCALING_KEY in properties:
        scaling = _sharpened(scaling, properties[SCALING_KEY])
    return chain.builder.build(scaling, metadata)


def _follow(graph: onnx.GraphProto) -> OnnxChain:
    """Read every node from the input to the output.

    Raises:
        ModelError: an operator or attribute that is not supported, a branch, or a node that is
            not part of the chain.
    """
    if len(graph.output) != 1:
        raise ModelError(f"{len(graph.output)} outputs; only one output is supported")
    nodes = [Node(proto, index) for index, proto in enumerate(graph.node)]
    constants = constants_of(graph)
    name, shape, batch_is_one = read_input(graph, constants)
    visited = _collect_constants(nodes, constants)
    chain = OnnxChain(shape, batch_is_one, constants)
    takers = _takers(nodes)
    while name != graph.output[0].name or takers[name]:
        if not takers[name]:
            raise ModelError(
                f"the chain ends at value {short(name)}, not at the output "
                f"{short(graph.output[0].name)}; export the model with its last value as output"
            )
        if len(takers[name]) > 1:
            raise ModelError(
                f"value {short(name)} is used {len(takers[name])} times; only a chain of layers "
                "is supported, without branches (torch: nn.Flatten instead of view)"
            )
        index, slot = takers[name][0]
        node = nodes[index]
        if index in visited or not node.outputs:
            raise ModelError(f"{node.where}: the nodes form no chain; export the model again")
        visited.add(index)
        node.slot = slot
        chain.read(node)
        name = node.outputs[0]
    for index, node in enumerate(nodes):
        if index not in visited:
            raise ModelError(
                f"{node.where}: is not on the chain from input to output; simplify the model "
                "before the export (torch: nn.Flatten instead of view)"
            )
    return chain


def _takers(nodes: list[Node]) -> dict[str, list[tuple[int, int]]]:
    """Of each value: the nodes that take it, as `(index of the node, place among its inputs)`."""
    takers: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for index, node in enumerate(nodes):
        for slot, name in enumerate(node.inputs):
            takers[name].append((index, slot))
    return takers


def _collect_constants(nodes: list[Node], constants: dict[str, Array]) -> set[int]:
    """Add the values of Constant nodes, and of their Identity copies, to the constants."""
    visited: set[int] = set()
    for index, node in enumerate(nodes):
        if not node.known_domain or len(node.outputs) != 1:
            continue
        if node.op == "Constant":
            constants[node.outputs[0]] = node.constant()
            visited.add(index)
        elif node.op == "Identity" and node.inputs and node.inputs[0] in constants:
            constants[node.outputs[0]] = constants[node.inputs[0]]
            visited.add(index)
    return visited


def _sharpened(scaling: InputScaling, text: str) -> InputScaling:
    """The scaling in float64, where the float32 constants of the nodes are its rounding."""
    exact = decode_json_object(f"property {SCALING_KEY}", text)
    offset, factor = exact.get("offset"), exact.get("factor")
    if (
        isinstance(offset, float)
        and isinstance(factor, float)
        and math.isclose(offset, scaling.offset, rel_tol=1e-7)
        and math.isclose(factor, scaling.factor, rel_tol=1e-7)
    ):
        return InputScaling(offset=offset, factor=factor)
    return scaling
