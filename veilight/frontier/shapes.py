"""The optical layers of a network as the leakage formulas see them: sizes, no weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationError

if TYPE_CHECKING:
    from protocol.models.graph import Graph

__all__ = ["LayerShape", "shapes_of"]


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """One optical layer.

    Attributes:
        layer: index in the graph.
        rows: M, weight rows.
        columns: real entries per row, the bias counted.
        positions: how often the rows are sent for one sample: output positions of a convolution,
            tokens of a sequence. For the weights these are copies; each has data of its own.

    Raises:
        ConfigurationError: a size that is no whole number of at least 1.
    """

    layer: int
    rows: int
    columns: int
    positions: int = 1

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "positions"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"frontier: layer {self.layer} has {name} {value!r}; it must be a whole number "
                    "of at least 1"
                )

    @property
    def weights(self) -> int:
        """Real weights of the layer, biases counted."""
        return self.rows * self.columns


def shapes_of(graph: "Graph") -> tuple[LayerShape, ...]:
    """The optical layers of `graph`, in their order."""
    shapes = []
    for index in graph.optical:
        layer = graph.optical_layer(index)
        shapes.append(
            LayerShape(
                layer=index,
                rows=layer.rows,
                columns=layer.columns + layer.bias,
                positions=layer.positions(graph.shapes[index]),
            )
        )
    return tuple(shapes)
