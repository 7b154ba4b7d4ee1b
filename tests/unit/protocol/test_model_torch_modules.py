"""From torch modules to models and back."""

import math
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from drivers.errors import ModelError
from protocol.models.graph import AvgPool2d, Conv2d, Flatten, InputScaling, Linear, MaxPool2d, Relu
from protocol.models.torch_modules import from_module, to_module


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    """A module with repeatable random weights and statistics, in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        module = build()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                if part.running_mean is not None and part.running_var is not None:
                    part.running_mean.normal_()
                    part.running_var.uniform_(0.2, 3.0)
                if part.affine:
                    nn.init.normal_(part.weight)
                    nn.init.normal_(part.bias)
    return module.eval()


def samples(*shape: int) -> Tensor:
    return torch.randn(4, *shape, generator=torch.Generator().manual_seed(1))


def everything() -> nn.Module:
    shared = nn.ReLU()
    return nn.Sequential(
        nn.Identity(),
        nn.Sequential(
            nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(1, 0), bias=False),
            nn.BatchNorm2d(4),
            shared,
            nn.MaxPool2d(2, stride=1, padding=1),
        ),
        nn.Conv2d(4, 3, 3, padding="same", dilation=2),
        nn.Dropout2d(),
        nn.BatchNorm2d(3, affine=False),
        shared,
        nn.AvgPool2d(2, padding=1),
        nn.Conv2d(3, 3, 2, padding="valid"),
        nn.Flatten(),
        nn.Linear(18, 6),
        nn.Dropout(),
        nn.BatchNorm1d(6),
        nn.ReLU(inplace=True),
        nn.Linear(6, 3, bias=False),
    )


def test_from_module_computes_the_same_when_every_supported_layer_is_used() -> None:
    module = seeded(everything)
    inputs = samples(2, 6, 7)
    with torch.no_grad():
        expected = module(inputs)
    model = from_module(module, (2, 6, 7))
    torch.testing.assert_close(model.forward(inputs), expected, atol=1e-4, rtol=1e-4)
    kinds = [type(layer) for layer in model.graph.layers]
    assert kinds == [
        Conv2d,
        Relu,
        MaxPool2d,
        Conv2d,
        Relu,
        AvgPool2d,
        Conv2d,
        Flatten,
        Linear,
        Relu,
        Linear,
    ]
    assert [model.graph.optical_layer(i).bias for i in model.graph.optical] == [
        True,
        True,
        True,
        True,
        False,
    ]


def test_to_module_and_back_gives_the_same_model_when_layers_are_of_all_kinds() -> None:
    model = from_module(
        seeded(everything),
        (2, 6, 7),
        scaling=InputScaling(offset=0.25, factor=3.0),
        metadata={"data": "noise"},
    )
    module = to_module(model)
    again = from_module(module, model.graph.input_shape, model.graph.scaling)
    assert again.digest == model.digest
    assert again.graph == model.graph
    assert model.metadata == {"data": "noise"}
    inputs = samples(2, 6, 7)
    torch.testing.assert_close(module(inputs).detach(), model.forward(inputs))


def test_to_module_leaves_the_global_random_generator_alone_when_it_builds_layers() -> None:
    model = from_module(seeded(everything), (2, 6, 7))
    before = torch.get_rng_state()
    to_module(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_to_module_copies_when_its_weights_are_trained_further() -> None:
    model = from_module(seeded(lambda: nn.Linear(3, 2)), (3,))
    digest = model.digest
    with torch.no_grad():
        for parameter in to_module(model).parameters():
            parameter.add_(1.0)
    assert model.digest == digest


def test_from_module_copies_when_the_module_is_trained_further() -> None:
    module = seeded(lambda: nn.Linear(3, 2))
    model = from_module(module, (3,))
    digest = model.digest
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    assert model.digest == digest
    assert from_module(module, (3,)).digest != digest


def test_from_module_folds_as_in_evaluation_when_the_module_is_in_training_mode() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)))
    expected = module(samples(5)).detach()
    module.train()
    model = from_module(module, (5,))
    torch.testing.assert_close(model.forward(samples(5)), expected, atol=1e-5, rtol=1e-5)
    assert module.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_from_module_converts_weights_when_they_are_of_another_float_type(
    dtype: torch.dtype,
) -> None:
    module = seeded(lambda: nn.Linear(3, 2)).to(dtype)
    model = from_module(module, (3,))
    assert model.weights[0].weight.dtype == torch.float32
    torch.testing.assert_close(model.weights[0].weight, module.state_dict()["weight"].float())


def test_from_module_reads_computed_weights_when_a_layer_is_parametrized() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(3, 2)))
    layer = module[0] if isinstance(module, nn.Sequential) else module
    nn.utils.parametrizations.weight_norm(layer, "weight")
    inputs = samples(3)
    torch.testing.assert_close(from_module(module, (3,)).forward(inputs), module(inputs).detach())


class Squared(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) ** 2


class Renamed(nn.Linear):
    pass


class Skipping(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        inner: Tensor = self[0](input)
        return input + inner


def test_from_module_accepts_when_a_subclass_changes_nothing() -> None:
    module = seeded(lambda: Renamed(3, 2))
    torch.testing.assert_close(
        from_module(module, (3,)).forward(samples(3)), module(samples(3)).detach()
    )


def with_hook() -> nn.Module:
    module = nn.Linear(3, 2)
    module.register_forward_hook(lambda *_: None)
    return nn.Sequential(module)


def with_hook_on_container() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 2))
    module.register_forward_pre_hook(lambda *_: None)
    return module


def with_patch() -> nn.Module:
    module = nn.Linear(3, 2)
    module.forward = lambda input: input  # type: ignore[method-assign]
    return module


def lazy() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that lazy modules may change
        return nn.LazyLinear(2)


def unset(name: str, value: float) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        module = nn.Linear(3, 2)
        nn.init.constant_(getattr(module, name), value)
        return nn.Sequential(nn.Identity(), module)

    return build


def tiny_variance() -> nn.Module:
    norm = nn.BatchNorm1d(2)
    assert norm.running_var is not None
    norm.running_var.fill_(-1.0)
    return nn.Sequential(nn.Linear(3, 2), norm)


def huge() -> nn.Module:
    module = nn.Linear(3, 2).double()
    nn.init.constant_(module.weight, 1e300)
    return module


@pytest.mark.parametrize(
    ("build", "shape", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.SiLU()), (3,), r"module 1 \(SiLU\) is not supp"),
        (
            lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())),
            (3,),
            r"module 0.1 \(Sigmoid\) is not supported; .* Supported are Sequential, Linear",
        ),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Softmax(1)), (3,), "leave it out"),
        (nn.ReLU6, (3,), r"module \(the whole\) \(ReLU6\)"),
        (lambda: Squared(3, 2), (3,), "Squared. is not supported"),
        (lambda: Skipping(nn.Linear(3, 3)), (3,), "Skipping. is not supported"),
        (with_hook, (3,), r"module 0 \(Linear\): has forward hooks"),
        (with_hook_on_container, (3,), "has forward hooks"),
        (with_patch, (3,), "its forward is replaced"),
        (lazy, (3,), "has no weights yet"),
        (lambda: nn.Linear(3, 2, device="meta"), (3,), "weight is on the meta device"),
        (lambda: nn.Linear(3, 2, dtype=torch.complex64), (3,), "weight is torch.complex64"),
        (unset("weight", math.nan), (3,), r"module 1 \(Linear\): weight: 6 of 6 values are NaN"),
        (unset("bias", math.inf), (3,), r"module 1 \(Linear\): bias: 2 of 2 values are NaN"),
        (unset("weight", 0.0), (3,), "all weights are zero"),
        (huge, (3,), "weight: largest magnitude 1e.300 exceeds the float32 limit"),
        (lambda: nn.Linear(3, 2), (4,), r"module \(the whole\) \(Linear\): linear layer takes"),
        (lambda: nn.Conv2d(4, 4, 3, groups=2), (4, 5, 5), "groups=2"),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect", padding=1), (1, 5, 5), "padding_mode"),
        (lambda: nn.Conv2d(1, 1, 2, padding="same"), (1, 5, 5), "larger on one side"),
        (lambda: nn.Conv1d(1, 1, 3), (1, 5), "Conv1d. is not supported"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 9)), (1, 5, 5), "does not fit"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), (1, 5, 5), "ceil_mode=False"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, dilation=2)), (1, 5, 5), "dilation=1"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, return_indices=True)), (1, 5, 5), "return_indices"),
        (lambda: nn.AvgPool2d(2, ceil_mode=True), (1, 5, 5), "ceil_mode=False"),
        (lambda: nn.AvgPool2d(2, divisor_override=3), (1, 5, 5), "divisor_override"),
        (
            lambda: nn.AvgPool2d(2, padding=1, count_include_pad=False),
            (1, 5, 5),
            "count_include_pad=True",
        ),
        (lambda: nn.Flatten(2), (1, 5, 5), "flattens axes 2 to -1"),
        (lambda: nn.Flatten(0), (1, 5, 5), "flattens axes 0 to -1"),
        (lambda: nn.Flatten(1, 2), (1, 5, 5), "flattens axes 1 to 2"),
        (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)), (3,), "directly before"),
        (
            lambda: nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.BatchNorm1d(2)),
            (3,),
            r"module 2 \(BatchNorm1d\): can only be folded",
        ),
        (
            lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)),
            (3,),
            "keeps no running statistics",
        ),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(5)), (3,), "5.* values, .* 2 rows"),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm2d(2)), (3,), "does not fit a sample"),
        (tiny_variance, (3,), "variance . epsilon must be positive"),
        (lambda: nn.Sequential(nn.ReLU()), (3,), "no linear or convolutional layer"),
        (lambda: nn.Linear(3, 2), (0,), "takes"),
    ],
)
def test_from_module_refuses_when_a_layer_cannot_be_kept(
    build: Callable[[], nn.Module], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        from_module(build(), shape)


def test_from_module_refuses_when_given_something_else() -> None:
    with pytest.raises(ModelError, match=r"torch.nn.Module is needed, got builtin_function"):
        from_module(torch.relu, (3,))  # type: ignore[arg-type]


def test_from_module_accepts_when_flatten_names_the_last_axis() -> None:
    module = seeded(lambda: nn.Sequential(nn.Flatten(1, 3), nn.Linear(4, 1)))
    assert from_module(module, (1, 2, 2)).graph.layers[0] == Flatten()
