"""Model files: a safetensors file with the weights and a JSON file that describes the network.

`NAME.safetensors` holds the tensors `layers.<index>.weight` and `layers.<index>.bias`;
`NAME.json` beside it holds the graph, the metadata and the checksum of the first. Reading them
never executes anything: there is no pickle here, and every size is checked before it is used.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from drivers.errors import ModelError, OutputError
from protocol.models._chain import to_float32
from protocol.models._disk import MAX_FILE_BYTES, in_file, read_capped, write_together
from protocol.models._json import MAX_JSON_BYTES, decode_json_object, encode_json
from protocol.models._safetensors_header import check_header, largest_file_bytes
from protocol.models.graph import Graph, Shape
from protocol.models.model import LayerWeights, Model

__all__ = ["load_model", "save_model"]

FORMAT = "veilight-model"
VERSION = 1

_HINT = "give the path of a model that save_model wrote"
_KEYS = ("format", "version", "sha256", "graph", "metadata")
_PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"})


@dataclass(frozen=True, kw_only=True)
class _Description:
    graph: Graph
    metadata: Mapping[str, object]
    sha256: str


def save_model(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a model as `NAME.safetensors` and `NAME.json`.

    Both are written beside their final names, synced, then renamed: the weights first, the
    description last, so that a description never names weights that are not there.

    Args:
        model: what to save.
        path: `NAME.safetensors`, in a folder that exists.
        overwrite: replace files of these names.

    Raises:
        OutputError: another suffix, files that exist, or a folder that cannot be written.
        ModelError: metadata that is not plain JSON, or a model beyond the size caps.
    """
    target = Path(path)
    if target.suffix != ".safetensors":
        raise OutputError(f"{target}: a model file is named NAME.safetensors; rename it")
    weights = _encode_weights(model)
    if len(weights) > MAX_FILE_BYTES:
        raise ModelError(
            f"{target}: {len(weights)} bytes of weights exceed the cap of {MAX_FILE_BYTES} bytes; "
            "use a smaller network"
        )
    description = _encode_description(model, hashlib.sha256(weights).hexdigest())
    write_together(
        [(target, weights), (target.with_suffix(".json"), description)], overwrite=overwrite
    )


def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model file, without executing anything that it holds.

    Args:
        path: `NAME.safetensors` or `NAME.json` (the other of the two must be beside it), or
            `NAME.onnx`.

    Raises:
        ModelError: the file is missing, damaged, too large, of another kind or holds a network
            that cannot be used; the message names the file, the problem and what to do.
    """
    source = Path(path)
    suffix = source.suffix.lower()
    if suffix == ".onnx":
        from protocol.models.onnx_files import load_onnx

        return load_onnx(source)
    if suffix in _PICKLED:
        raise ModelError(
            f"{source}: a {suffix} file can run any code when it is opened, so it never is; "
            "convert it where you trust it: load the module there and call save_model("
            "from_module(module, input_shape), 'NAME.safetensors'), or torch.onnx.export"
        )
    if suffix not in (".safetensors", ".json"):
        raise ModelError(
            f"{source}: unknown suffix {suffix!r}; known are .safetensors, .json and .onnx"
        )
    weights_file = source if suffix == ".safetensors" else source.with_suffix(".safetensors")
    description_file = source if suffix == ".json" else source.with_suffix(".json")
    for given, other in ((weights_file, description_file), (description_file, weights_file)):
        # os.path, as Path.exists raises where a folder may not be searched.
        if os.path.exists(given) and not os.path.exists(other):
            raise ModelError(
                f"{given}: its pair file {other.name} is missing; copy both files of the model, "
                "or save it again with save_model"
            )
    text = read_capped(description_file, MAX_JSON_BYTES, _HINT)
    with in_file(description_file):
        description = _decode_description(text)
    largest = min(MAX_FILE_BYTES, largest_file_bytes(_tensor_shapes(description.graph)))
    data = read_capped(weights_file, largest, f"{_HINT}, with the description beside it")
    with in_file(weights_file):
        return Model(
            graph=description.graph,
            weights=_decode_weights(data, description),
            metadata=description.metadata,
        )


def _encode_weights(model: Model) -> bytes:
    tensors: dict[str, Tensor] = {}
    for index in model.graph.optical:
        weights = model.weights[index]
        # Copies: the format refuses tensors that share memory.
        tensors[f"layers.{index}.weight"] = to_float32(f"layer {index} weight", weights.weight)
        if weights.bias is not None:
            tensors[f"layers.{index}.bias"] = to_float32(f"layer {index} bias", weights.bias)
    return save(tensors)


def _decode_weights(data: bytes, description: _Description) -> dict[int, LayerWeights]:
    graph = description.graph
    check_header(data, _tensor_shapes(graph))
    found = hashlib.sha256(data).hexdigest()
    if found != description.sha256:
        raise ModelError(
            f"SHA-256 is {found}, the description names {description.sha256}; the two files do "
            "not belong together or one is damaged: copy both again"
        )
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ModelError(f"not a valid safetensors file: {error}; copy it again") from error
    weights: dict[int, LayerWeights] = {}
    for index in graph.optical:
        name = f"layers.{index}"
        bias = tensors.get(f"{name}.bias")
        weights[index] = LayerWeights(
            weight=to_float32(f"{name}.weight", tensors[f"{name}.weight"]),
            bias=None if bias is None else to_float32(f"{name}.bias", bias),
        )
    return weights


def _encode_description(model: Model, sha256: str) -> bytes:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": sha256,
        "graph": model.graph.to_dict(),
        "metadata": dict(model.metadata),
    }
    return encode_json("the description with its metadata", content, indent=2)


def _decode_description(text: bytes) -> _Description:
    content = decode_json_object("the description", text)
    if content.get("format") != FORMAT:
        raise ModelError(f"not a model description: 'format' is not {FORMAT!r}; {_HINT}")
    if content.get("version") != VERSION:
        raise ModelError(
            f"format version {short(content.get('version'))} is unknown, known is {VERSION}; "
            "use a matching version of the program"
        )
    for key in content:
        if key not in _KEYS:
            raise ModelError(f"unknown key {short(key)}; known are {', '.join(_KEYS)}")
    graph, metadata = content.get("graph"), content.get("metadata", {})
    sha256 = content.get("sha256")
    if not isinstance(graph, Mapping) or not isinstance(metadata, Mapping):
        raise ModelError("'graph' and 'metadata' must be objects; save the model again")
    if not isinstance(sha256, str):
        raise ModelError("'sha256' of the weights is missing; save the model again")
    return _Description(graph=Graph.from_dict(graph), metadata=metadata, sha256=sha256)


def _tensor_shapes(graph: Graph) -> dict[str, Shape]:
    """Name and shape of every tensor that the weights of a graph consist of."""
    shapes: dict[str, Shape] = {}
    for index in graph.optical:
        layer = graph.optical_layer(index)
        shapes[f"layers.{index}.weight"] = layer.weight_shape
        if layer.bias:
            shapes[f"layers.{index}.bias"] = (layer.rows,)
    return shapes
