"""Torch's transformer layers to models and back."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from drivers.errors import ModelError
from protocol.models.graph import (
    Gelu,
    Linear,
    Patches,
    Relu,
    SelfAttention,
    SinusoidalPositions,
    TokenLinear,
    TokenMean,
)
from protocol.models.token_modules import DigitalModule, Residual
from protocol.models.torch_modules import from_module, to_module


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scrambled(module: nn.Module) -> nn.Module:
    """The module in evaluation mode with weights, factors and shifts that all matter."""
    for number, parameter in enumerate(module.parameters()):
        parameter.data = 0.5 * random(*parameter.shape, seed=number) + 0.3
    return module.eval()


def encoder_layer(**changes: Any) -> nn.TransformerEncoderLayer:
    options: dict[str, Any] = {"batch_first": True, "norm_first": True, **changes}
    return nn.TransformerEncoderLayer(8, 2, 12, **options)


def vision_transformer(**changes: Any) -> nn.Module:
    return nn.Sequential(
        DigitalModule(Patches(size=(2, 2))),
        nn.Linear(4, 8),
        DigitalModule(SinusoidalPositions()),
        nn.TransformerEncoder(
            encoder_layer(**changes), 2, norm=nn.LayerNorm(8), enable_nested_tensor=False
        ),
        DigitalModule(TokenMean()),
        nn.Linear(8, 3),
    )


@pytest.mark.parametrize(
    "changes",
    [{}, {"activation": "gelu"}, {"bias": False}, {"layer_norm_eps": 0.1, "dropout": 0.5}],
)
def test_from_module_computes_the_same_when_the_module_is_a_transformer(
    changes: dict[str, Any],
) -> None:
    module = scrambled(vision_transformer(**changes))
    model = from_module(module, (1, 6, 4))
    samples = random(5, 1, 6, 4, seed=1)
    with torch.no_grad():
        expected = module(samples)
    torch.testing.assert_close(model.forward(samples), expected, rtol=1e-4, atol=1e-4)
    activation = Gelu if changes.get("activation") == "gelu" else Relu
    assert sum(isinstance(layer, activation) for layer in model.graph.layers) == 2
    assert sum(isinstance(layer, TokenLinear) for layer in model.graph.layers) == 9


def test_to_module_computes_the_same_and_reads_back_when_the_network_is_a_transformer() -> None:
    model = from_module(scrambled(vision_transformer()), (1, 6, 4))
    back = to_module(model)
    samples = random(5, 1, 6, 4, seed=2)
    with torch.no_grad():
        torch.testing.assert_close(back(samples), model.forward(samples), rtol=1e-4, atol=1e-4)
    assert sum(isinstance(child, Residual) for child in back.children()) == 4
    again = from_module(back, (1, 6, 4))
    assert again.graph == model.graph
    assert again.digest == model.digest


def test_layer_norm_gives_its_factors_to_the_linear_map_behind_when_read() -> None:
    module = scrambled(nn.Sequential(nn.LayerNorm(5), nn.Dropout(), nn.Linear(5, 3, bias=False)))
    model = from_module(module, (5,))
    assert model.graph.layers[1] == Linear(inputs=5, outputs=3)
    samples = random(4, 5, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(model.forward(samples), module(samples), rtol=1e-5, atol=1e-5)


def hooked() -> nn.Module:
    layer = encoder_layer()
    layer.self_attn.out_proj.register_forward_hook(lambda *_: None)
    return layer


def activated(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        layer = encoder_layer()
        layer.activation = function
        return layer

    return build


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (lambda: encoder_layer(norm_first=False), (4, 8), "norm_first=False; only norm_first=True"),
        (lambda: encoder_layer(batch_first=False), (4, 8), "batch_first=False"),
        (activated(torch.tanh), (4, 8), "only relu and gelu are supported"),
        (activated(nn.GELU(approximate="tanh")), (4, 8), "only relu and gelu are supported"),
        (hooked, (4, 8), "has forward hooks"),
        (lambda: nn.GELU(approximate="tanh"), (4,), "approximate='tanh'; only the exact"),
        (lambda: nn.LayerNorm((4, 8)), (4, 8), r"normalises over \(4, 8\) of a sample"),
        (lambda: nn.LayerNorm(5), (1, 4, 5), "only the last axis"),
        (lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), (8,), "its factors and shifts"),
        (
            lambda: nn.Sequential(nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8)),
            (8,),
            r"module 0 \(LayerNorm\): its factors and shifts are weights",
        ),
        (lambda: nn.MultiheadAttention(8, 2), (4, 8), "MultiheadAttention. is not supported"),
        (lambda: nn.RMSNorm(8), (8,), "RMSNorm. is not supported"),
        (lambda: Residual(nn.Linear(8, 4)), (8,), r"remembers \(8,\), but the sum has \(4,\)"),
    ],
)
def test_from_module_refuses_when_a_part_of_a_transformer_cannot_be_kept(
    build: Callable[[], nn.Module], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        from_module(build().eval(), shape)


def test_digital_module_refuses_when_the_layer_has_weights() -> None:
    with pytest.raises(ModelError, match="token_linear has weights; use torch's own module"):
        DigitalModule(TokenLinear(inputs=2, outputs=2))
    assert "heads=2" in repr(DigitalModule(SelfAttention(heads=2)))
