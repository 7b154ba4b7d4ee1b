"""Torch modules for what torch has no module of: residual connections and parts of transformers.

A network built of them and of torch's own layers can be read with `from_module`.
"""

from torch import Tensor, nn

from drivers.errors import ModelError
from protocol.models.digital import apply_digital
from protocol.models.graph import Layer, OpticalLayer

__all__ = ["DigitalModule", "Residual"]


class Residual(nn.Module):
    """z + inner(z).

    Args:
        inner: any module that keeps the shape.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, values: Tensor) -> Tensor:
        """The sum, in the shape of `values`."""
        changed: Tensor = self.inner(values)
        return values + changed


class DigitalModule(nn.Module):
    """One digital layer of a graph, such as `Patches` or `SelfAttention`, on a batch.

    Args:
        layer: the description; it has no weights.

    Raises:
        ModelError: a layer that is sent as light.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        if isinstance(layer, OpticalLayer):
            raise ModelError(f"{layer.kind} has weights; use torch's own module")
        self.layer = layer

    def forward(self, values: Tensor) -> Tensor:
        """The layer applied to `(samples, *shape)`."""
        return apply_digital(self.layer, values)

    def extra_repr(self) -> str:
        """The description, for a print of the module."""
        return repr(self.layer)
