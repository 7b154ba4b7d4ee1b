"""From a torch module to a model and back.

Only chains of known layers are read: what a module of one's own computes in `forward` cannot be
seen from outside, so it is refused rather than guessed.
"""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from drivers.errors import ModelError
from protocol.models._chain import ChainBuilder, to_float32
from protocol.models._transformer_modules import (
    encoder_layers,
    read_encoder_layer,
    read_layer_norm,
)
from protocol.models.graph import (
    AddRemembered,
    AvgPool2d,
    Conv2d,
    Flatten,
    Gelu,
    InputScaling,
    Layer,
    LayerNorm,
    MaxPool2d,
    OpticalLayer,
    Relu,
    Remember,
    Shape,
)
from protocol.models.model import LayerWeights, Model
from protocol.models.token_modules import DigitalModule, Residual

__all__ = ["from_module", "to_module"]

_DROPPED = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_SUPPORTED = (
    "Sequential, Linear, Conv2d, ReLU, GELU, Flatten, MaxPool2d, AvgPool2d, BatchNorm1d/2d "
    "directly after Linear/Conv2d, LayerNorm, TransformerEncoder and TransformerEncoderLayer with "
    "norm_first, Dropout, Identity, and the Residual and DigitalModule of "
    "protocol.models.token_modules"
)
_HINTS: dict[type[nn.Module], str] = {
    nn.Softmax: "leave it out: the largest output stays the largest",
    nn.LogSoftmax: "leave it out: the largest output stays the largest",
}


def from_module(
    module: nn.Module,
    input_shape: Shape,
    scaling: InputScaling | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Model:
    """A model of what the module computes in evaluation mode.

    The module is not changed, and its weights are copied. Dropout and Identity are left out,
    batch normalisation is folded with its running statistics, the factors and shifts of layer
    normalisation into the linear map behind it.

    Args:
        module: one layer or an `nn.Sequential`, nested at will.
        input_shape: of one sample, `(features,)`, `(tokens, features)` or
            `(channels, height, width)`.
        scaling: from raw data to the module's input; none by default.
        metadata: plain JSON values that travel with the model.

    Raises:
        ModelError: a layer that is not supported, names it and lists those that are; shapes that
            do not fit; or weights that are NaN, infinite or not floating point.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a torch.nn.Module is needed, got {type(module).__name__}")
    chain = ChainBuilder(tuple(input_shape))
    for path, layer in _leaves(module, ""):
        where = f"module {path or '(the whole)'} ({type(layer).__name__})"
        if isinstance(layer, Remember | AddRemembered):
            chain.add(where, layer)
            continue
        _refuse_surprises(where, layer)
        if type(layer) in _DROPPED:
            continue
        known = _plain_class(layer)
        if known is None:
            hint = _HINTS.get(type(layer), "rebuild it from these or export it to ONNX")
            raise ModelError(f"{where} is not supported; {hint}. Supported are {_SUPPORTED}")
        _READERS[known](chain, where, layer)
    return chain.build(scaling or InputScaling(), dict(metadata or {}))


def to_module(model: Model) -> nn.Sequential:
    """The model as a torch module in evaluation mode, with copies of the weights.

    It takes scaled inputs `(samples, *input_shape)` and has one child per layer of the graph; what
    lies between the ends of a residual connection is one child, a `Residual`.
    """
    opened: list[list[nn.Module]] = [[]]
    for index, layer in enumerate(model.graph.layers):
        if isinstance(layer, Remember):
            opened.append([])
        elif isinstance(layer, AddRemembered):
            inner = nn.Sequential(*opened.pop())
            opened[-1].append(Residual(inner))
        elif isinstance(layer, OpticalLayer):
            opened[-1].append(_optical_module(layer, model.weights[index]))
        else:
            opened[-1].append(_digital_module(layer, model.graph.shapes[index]))
    return nn.Sequential(*opened[0]).eval()


def _leaves(
    module: nn.Module, path: str
) -> Iterator[tuple[str, nn.Module | Remember | AddRemembered]]:
    where = f"module {path or '(the whole)'} ({type(module).__name__})"
    if _forward_of(module) is Residual.forward:
        _refuse_surprises(where, module)
        yield path, Remember()
        yield from _leaves(module.get_submodule("inner"), f"{path}.inner" if path else "inner")
        yield path, AddRemembered()
        return
    if _forward_of(module) is nn.TransformerEncoder.forward:
        assert isinstance(module, nn.TransformerEncoder)
        _refuse_surprises(where, module)
        for name, part in encoder_layers(where, module):
            yield from _leaves(part, f"{path}.{name}" if path else name)
        return
    if _forward_of(module) is not nn.Sequential.forward:
        yield path, module
        return
    _refuse_surprises(where, module)
    # Not named_children(): that leaves out the second use of one and the same layer.
    for name, child in module._modules.items():
        inner = f"{path}.{name}" if path else name
        if child is None:
            raise ModelError(f"module {inner} is None; remove it")
        yield from _leaves(child, inner)


def _forward_of(module: nn.Module) -> object:
    # A scripted module's class has no forward that could be compared.
    return getattr(type(module), "forward", None)


def _refuse_surprises(where: str, module: nn.Module) -> None:
    """Hooks and patched methods compute something that the layer's parameters do not tell."""
    for inner, child in module.named_children():
        if not isinstance(module, nn.Sequential | Residual | nn.TransformerEncoder):
            _refuse_surprises(f"{where} {inner}", child)
    if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
        raise ModelError(f"{where}: has no weights yet; run the module once on an input")
    if "forward" in vars(module):
        raise ModelError(f"{where}: its forward is replaced; use the plain layer")
    if any(getattr(module, hooks) for hooks in _HOOKS):
        raise ModelError(
            f"{where}: has forward hooks, which would be lost; remove them (for weight or spectral "
            "normalisation: torch.nn.utils.remove_weight_norm and the like)"
        )


def _plain_class(module: nn.Module) -> type[nn.Module] | None:
    """The torch class that defines the module's `forward`; subclasses may differ in names only."""
    for known in _READERS:
        if isinstance(module, known) and _forward_of(module) is known.forward:
            return known
    return None


def _parameter(where: str, module: nn.Module, name: str) -> Tensor | None:
    value = getattr(module, name)
    if value is None:
        return None
    if not isinstance(value, Tensor):
        raise ModelError(f"{where}: {name} is no tensor but {type(value).__name__}; rebuild it")
    if value.is_meta:
        raise ModelError(f"{where}: {name} is on the meta device and has no values; load them")
    return to_float32(f"{where}: {name}", value)


def _required(where: str, module: nn.Module, name: str) -> Tensor:
    value = _parameter(where, module, name)
    if value is None:
        raise ModelError(f"{where}: has no {name}; build it with its default arguments")
    return value


def _read_linear(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    chain.add_linear(where, _required(where, module, "weight"), _parameter(where, module, "bias"))


def _read_conv(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.Conv2d)
    if module.groups != 1:
        raise ModelError(f"{where}: groups={module.groups}; only groups=1 is supported")
    if module.padding_mode != "zeros":
        raise ModelError(f"{where}: padding_mode={module.padding_mode!r}; only zeros is supported")
    chain.add_conv(
        where,
        _required(where, module, "weight"),
        _parameter(where, module, "bias"),
        stride=_pair(where, module.stride),
        padding=_conv_padding(where, module),
        dilation=_pair(where, module.dilation),
    )


def _conv_padding(where: str, module: nn.Conv2d) -> tuple[int, int]:
    if module.padding == "valid":
        return (0, 0)
    if module.padding != "same":
        return _pair(where, module.padding)
    totals = [
        dilation * (size - 1)
        for dilation, size in zip(module.dilation, module.kernel_size, strict=True)
    ]
    if any(total % 2 for total in totals):
        raise ModelError(
            f"{where}: padding 'same' of a kernel {module.kernel_size} is larger on one side; "
            "use an odd kernel"
        )
    return totals[0] // 2, totals[1] // 2


def _read_gelu(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.GELU)
    if module.approximate != "none":
        raise ModelError(
            f"{where}: approximate={module.approximate!r}; only the exact function is supported"
        )
    chain.add(where, Gelu())


def _read_digital(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, DigitalModule)
    chain.add(where, module.layer)


def _read_relu(chain: ChainBuilder, where: str, module: nn.Module) -> None:  # noqa: ARG001
    chain.add(where, Relu())


def _read_flatten(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.Flatten)
    if module.start_dim != 1 or module.end_dim not in (-1, len(chain.shape)):
        raise ModelError(
            f"{where}: flattens axes {module.start_dim} to {module.end_dim}; only all axes but "
            "the batch (1 to -1) are supported"
        )
    chain.add(where, Flatten())


def _read_max_pool(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.MaxPool2d)
    if _pair(where, module.dilation) != (1, 1) or module.ceil_mode or module.return_indices:
        raise ModelError(
            f"{where}: only dilation=1, ceil_mode=False and return_indices=False are supported"
        )
    chain.add(
        where,
        MaxPool2d(
            kernel=_pair(where, module.kernel_size),
            stride=_pair(where, module.stride),
            padding=_pair(where, module.padding),
        ),
    )


def _read_avg_pool(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.AvgPool2d)
    padding = _pair(where, module.padding)
    uncounted = padding != (0, 0) and not module.count_include_pad
    if module.ceil_mode or uncounted or module.divisor_override is not None:
        raise ModelError(
            f"{where}: only ceil_mode=False, count_include_pad=True (or no padding) and no "
            "divisor_override are supported"
        )
    chain.add(
        where,
        AvgPool2d(
            kernel=_pair(where, module.kernel_size),
            stride=_pair(where, module.stride),
            padding=padding,
        ),
    )


def _read_batch_norm(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    if module.running_mean is None or module.running_var is None:
        raise ModelError(
            f"{where}: keeps no running statistics, so it depends on the batch; train it with "
            "track_running_stats=True"
        )
    rank = 1 if isinstance(module, nn.BatchNorm1d) else 3
    if len(chain.shape) != rank:
        raise ModelError(f"{where}: does not fit a sample of shape {chain.shape}")
    chain.fold_batch_norm(
        where,
        mean=_required(where, module, "running_mean"),
        variance=_required(where, module, "running_var"),
        gain=_parameter(where, module, "weight"),
        shift=_parameter(where, module, "bias"),
        epsilon=module.eps,
    )


def _pair(where: str, value: object) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    if isinstance(value, tuple | list) and len(value) == 2:
        return value[0], value[1]
    raise ModelError(f"{where}: {value!r} is not a whole number or a pair of them")


def _optical_module(layer: OpticalLayer, weights: LayerWeights) -> nn.Module:
    # Built without memory: drawing initial values would move the global random generator.
    module: nn.Linear | nn.Conv2d
    if not isinstance(layer, Conv2d):
        module = nn.Linear(layer.inputs, layer.outputs, bias=layer.bias, device="meta")
    else:
        module = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=layer.bias,
            device="meta",
        )
    module.weight = nn.Parameter(weights.weight.detach().clone())
    if weights.bias is not None:
        module.bias = nn.Parameter(weights.bias.detach().clone())
    return module


def _digital_module(layer: Layer, shape: Shape) -> nn.Module:
    if isinstance(layer, Flatten):
        return nn.Flatten()
    if isinstance(layer, MaxPool2d):
        return nn.MaxPool2d(layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, AvgPool2d):
        return nn.AvgPool2d(layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, LayerNorm):
        return nn.LayerNorm(shape[-1:], eps=layer.epsilon, elementwise_affine=False)
    if isinstance(layer, Gelu):
        return nn.GELU()
    return nn.ReLU() if isinstance(layer, Relu) else DigitalModule(layer)


_READERS: dict[type[nn.Module], Callable[[ChainBuilder, str, nn.Module], None]] = {
    nn.Linear: _read_linear,
    nn.Conv2d: _read_conv,
    nn.ReLU: _read_relu,
    nn.Flatten: _read_flatten,
    nn.MaxPool2d: _read_max_pool,
    nn.AvgPool2d: _read_avg_pool,
    nn.BatchNorm1d: _read_batch_norm,
    nn.BatchNorm2d: _read_batch_norm,
    nn.GELU: _read_gelu,
    nn.LayerNorm: read_layer_norm,
    nn.TransformerEncoderLayer: read_encoder_layer,
    DigitalModule: _read_digital,
}
