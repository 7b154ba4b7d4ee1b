"""Torch's own transformer layers, read piece by piece into a chain."""

from collections.abc import Iterator

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from drivers.errors import ModelError
from protocol.models._chain import ChainBuilder, to_float32
from protocol.models.graph import AddRemembered, Gelu, LayerNorm, Relu, Remember, SelfAttention

__all__ = ["encoder_layers", "read_encoder_layer", "read_layer_norm"]


def encoder_layers(where: str, encoder: nn.TransformerEncoder) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of an encoder, in the order of execution."""
    for number, layer in enumerate(encoder.layers):
        yield f"layers.{number}", layer
    if encoder.norm is not None:
        if not isinstance(encoder.norm, nn.Module):
            raise ModelError(f"{where}: its norm is no module; rebuild it")
        yield "norm", encoder.norm


def read_layer_norm(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    """Normalisation over the features; its factors and shifts go into the next linear map."""
    assert isinstance(module, nn.LayerNorm)
    if tuple(module.normalized_shape) != chain.shape[-1:] or len(chain.shape) > 2:
        raise ModelError(
            f"{where}: normalises over {tuple(module.normalized_shape)} of a sample of shape "
            f"{chain.shape}; only the last axis, of (features,) or (tokens, features), is supported"
        )
    chain.add(where, LayerNorm(epsilon=float(module.eps)))
    if module.weight is not None:
        chain.fold_into_next(where, _values(where, module.weight), _optional(where, module.bias))


def read_encoder_layer(chain: ChainBuilder, where: str, module: nn.Module) -> None:
    """Two residual connections: attention(norm(z)), then perceptron(norm(z)).

    Raises:
        ModelError: normalisation after the sums, whose factors no linear map takes up, or an
            option that is not supported.
    """
    assert isinstance(module, nn.TransformerEncoderLayer)
    attention = module.self_attn
    _check_options(where, module)
    chain.add(where, Remember())
    read_layer_norm(chain, f"{where} norm1", module.norm1)
    weight = attention.in_proj_weight
    assert isinstance(weight, Tensor)
    chain.add_linear(
        f"{where} self_attn.in_proj",
        _values(where, weight),
        _optional(where, attention.in_proj_bias),
    )
    chain.add(where, SelfAttention(heads=attention.num_heads))
    _add_linear(chain, f"{where} self_attn.out_proj", attention.out_proj)
    chain.add(where, AddRemembered())
    chain.add(where, Remember())
    read_layer_norm(chain, f"{where} norm2", module.norm2)
    _add_linear(chain, f"{where} linear1", module.linear1)
    chain.add(where, _activation(where, module.activation))
    _add_linear(chain, f"{where} linear2", module.linear2)
    chain.add(where, AddRemembered())


def _check_options(where: str, module: nn.TransformerEncoderLayer) -> None:
    attention = module.self_attn
    if not module.norm_first:
        raise ModelError(
            f"{where}: norm_first=False; only norm_first=True is supported, where every "
            "normalisation is followed by a linear map that takes up its factors"
        )
    if not attention.batch_first:
        raise ModelError(f"{where}: batch_first=False; only batch_first=True is supported")
    if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
        raise ModelError(
            f"{where}: keys and values of other sizes, added biases or added zeros are not "
            "supported; build the attention with its default arguments"
        )


def _activation(where: str, activation: object) -> Relu | Gelu:
    if activation is nnf.relu or isinstance(activation, nn.ReLU):
        return Relu()
    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    if activation is nnf.gelu or exact:
        return Gelu()
    raise ModelError(f"{where}: activation {activation!r}; only relu and gelu are supported")


def _add_linear(chain: ChainBuilder, where: str, module: nn.Linear) -> None:
    chain.add_linear(where, _values(where, module.weight), _optional(where, module.bias))


def _values(where: str, values: Tensor) -> Tensor:
    if values.is_meta:
        raise ModelError(f"{where}: is on the meta device and has no values; load them")
    return to_float32(where, values)


def _optional(where: str, values: torch.Tensor | None) -> Tensor | None:
    return None if values is None else _values(where, values)
