"""Networks whose weighted sums carry the noise of the light: the training side of a graph.

The server sends a weight row w as quadrature means q = s w with one scale per layer,
s = sqrt(4 mu / mean(w^2)) for the real encoding, a bias being one more entry whose data entry
is 1. A receiver that measures a (q . x/|x|) with variance v estimates w . x with the Gaussian
standard deviation

    |x| sqrt(v) / (a s) = |x| rms(W) / F,    F^2 = 4 mu a^2 / v,

independently per row and per input. F^2 is the layer's signal-to-noise ratio, `signal_to_noise`
throughout this package. (Encoding and detector: Sulimany et al., arXiv 2408.05629; quadratures in
shot-noise units, vacuum variance 1.) The noise is differentiable: it grows with |x| and with
rms(W), and training uses both.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from drivers.errors import ConfigurationError
from protocol.models.digital import DigitalPart
from protocol.models.graph import Conv2d, Graph, OpticalLayer, TokenLinear
from protocol.models.model import LayerWeights, Model, weighted_sums

__all__ = ["OpticalModule", "OpticalNetwork", "check_signal_to_noise", "estimate_noise_std"]

SMALLEST_SQUARED_NORM = 1e-20
"""Floor under |x|^2 before its root, whose gradient is infinite at 0 (an all-zero data vector)."""


class OpticalModule(nn.Module):
    """One optical layer: its weighted sums, with the noise of the client's estimate on request.

    Args:
        layer: the public description.
        weights: initial values; copied.
    """

    def __init__(self, layer: OpticalLayer, weights: LayerWeights) -> None:
        super().__init__()
        self.layer = layer
        self.weight = nn.Parameter(weights.weight.detach().clone())
        self.bias = None if weights.bias is None else nn.Parameter(weights.bias.detach().clone())

    def forward(
        self,
        values: Tensor,
        signal_to_noise: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """W x, plus the noise at F^2 = `signal_to_noise` (None: noise-free).

        Args:
            values: `(samples, inputs)`, `(samples, tokens, inputs)` or
                `(samples, channels, height, width)`.
            signal_to_noise: F^2 > 0 of this layer.
            generator: source of the noise, on the device of `values`; None takes torch's own.

        Returns:
            `(samples, *output_shape)`.
        """
        sums = weighted_sums(self.layer, values, self.weights())
        if signal_to_noise is None:
            return sums
        std = estimate_noise_std(self.layer, values, self.weights(), signal_to_noise)
        noise = torch.randn(sums.shape, generator=generator, device=sums.device, dtype=sums.dtype)
        return sums + std * noise

    def weights(self) -> LayerWeights:
        """The parameters themselves, still attached to the autograd graph."""
        return LayerWeights(weight=self.weight, bias=self.bias)


def estimate_noise_std(
    layer: OpticalLayer, values: Tensor, weights: LayerWeights, signal_to_noise: float
) -> Tensor:
    """Standard deviation |x| rms(W) / F of the client's estimate of w . x; differentiable.

    The bias counts as one more column of W and as one more entry, 1, of x.

    Args:
        layer: the optical layer.
        values: `(samples, inputs)`, `(samples, tokens, inputs)` or
            `(samples, channels, height, width)`.
        weights: of this layer.
        signal_to_noise: F^2 > 0, dimensionless.

    Returns:
        `(samples, 1)` for a linear layer, `(samples, tokens, 1)` for one of tokens;
        `(samples, 1, height, width)` for a convolution, one value per patch.
    """
    features = -1 if isinstance(layer, TokenLinear) else 1
    squares = values.square().sum(dim=features, keepdim=True)
    if isinstance(layer, Conv2d):
        # |patch|^2 as a convolution with ones: the patches are never unfolded in memory.
        window = values.new_ones((1, 1, *layer.kernel))
        squares = nnf.conv2d(squares, window, None, layer.stride, layer.padding, layer.dilation)
    if layer.bias:
        squares = squares + 1.0
    total = weights.weight.square().sum()
    entries = weights.weight.numel()
    if weights.bias is not None:
        total = total + weights.bias.square().sum()
        entries += weights.bias.numel()
    norm = squares.clamp_min(SMALLEST_SQUARED_NORM).sqrt()
    return norm * (total / (entries * signal_to_noise)).sqrt()


class OpticalNetwork(nn.Module):
    """A trainable network whose optical layers can carry the noise of the light.

    Args:
        graph: the layers.
        weights: initial values by index of the optical layer; copied. None draws fresh ones,
            uniform within +-1/sqrt(columns) (the default of torch's own layers).
        seed: of the fresh weights; torch's global generator is not touched.

    Raises:
        ModelError: weights that do not fit the graph.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Mapping[int, LayerWeights] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.graph = graph
        values = _fresh_weights(graph, seed) if weights is None else weights
        checked = Model(graph=graph, weights=values)
        self.optical = nn.ModuleDict(
            {
                str(index): OpticalModule(graph.optical_layer(index), checked.weights[index])
                for index in graph.optical
            }
        )

    @classmethod
    def from_model(cls, model: Model) -> "OpticalNetwork":
        """The network of `model`, with a copy of its weights."""
        return cls(model.graph, model.weights)

    def forward(
        self,
        inputs: Tensor,
        signal_to_noise: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Outputs `(samples, outputs)` of scaled inputs `(samples, *input_shape)`.

        Args:
            inputs: after `graph.scaling`, as `Model.forward` takes them.
            signal_to_noise: F^2 > 0 of each optical layer, in their order; None or empty is
                noise-free.
            generator: source of the noise, on the device of `inputs`.

        Raises:
            ConfigurationError: `signal_to_noise` of a wrong length or out of range.
        """
        ratios = check_signal_to_noise(self.graph, signal_to_noise or ())
        values, digital = inputs, DigitalPart()
        for index, layer in enumerate(self.graph.layers):
            if isinstance(layer, OpticalLayer):
                module = self.optical[str(index)]
                values = module(values, ratios.get(index), generator)
            else:
                values = digital.apply(layer, values)
        return values.flatten(1)

    def to_model(self, metadata: Mapping[str, object] | None = None) -> Model:
        """A `Model` with a copy of the present weights, on the CPU.

        Raises:
            ModelError: a weight is NaN or infinite, or a layer is all zero.
        """
        return Model(
            graph=self.graph,
            weights={index: self._frozen(index) for index in self.graph.optical},
            metadata=dict(metadata or {}),
        )

    def _frozen(self, index: int) -> LayerWeights:
        module = self.optical[str(index)]
        assert isinstance(module, OpticalModule)
        values = module.weights()
        bias = values.bias
        return LayerWeights(
            weight=values.weight.detach().cpu().clone(),
            bias=None if bias is None else bias.detach().cpu().clone(),
        )


def check_signal_to_noise(graph: Graph, signal_to_noise: Sequence[float]) -> dict[int, float]:
    """F^2 by index of the optical layer; empty stays empty and means noise-free.

    Raises:
        ConfigurationError: not one value per optical layer, NaN, infinite, zero or negative.
    """
    if not signal_to_noise:
        return {}
    layers = graph.optical
    if len(signal_to_noise) != len(layers):
        raise ConfigurationError(
            f"signal_to_noise has {len(signal_to_noise)} values, but the network has "
            f"{len(layers)} optical layers; give one value per optical layer, or none for "
            "noise-free"
        )
    for index, value in zip(layers, signal_to_noise, strict=True):
        if math.isnan(value):
            raise ConfigurationError(f"layer {index}: signal_to_noise is NaN")
        if not 0 < value < math.inf:
            raise ConfigurationError(
                f"layer {index}: signal_to_noise is {value}, it must be a finite number above 0 "
                "(leave all out for noise-free)"
            )
    return dict(zip(layers, signal_to_noise, strict=True))


def _fresh_weights(graph: Graph, seed: int) -> dict[int, LayerWeights]:
    generator = torch.Generator().manual_seed(seed)
    fresh = {}
    for index in graph.optical:
        layer = graph.optical_layer(index)
        bound = 1 / math.sqrt(layer.columns)
        weight = torch.empty(layer.weight_shape).uniform_(-bound, bound, generator=generator)
        bias = None
        if layer.bias:
            bias = torch.empty(layer.rows).uniform_(-bound, bound, generator=generator)
        fresh[index] = LayerWeights(weight=weight, bias=bias)
    return fresh
