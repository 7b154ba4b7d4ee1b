"""What both parties know before light is on: layers, photon numbers, scales, tiles and blocks.

A plan holds no weight and no datum. One number per layer derives from the weights: the scale s,
which gives away the root mean square of the layer's weights and nothing else.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from drivers.backend import Block
from drivers.errors import ConfigurationError, ProtocolError
from protocol.models.graph import Graph

__all__ = ["Encoding", "LayerPlan", "Plan", "tile_sizes"]

Encoding: TypeAlias = Literal["real", "complex"]


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """How one layer is sent.

    Args:
        layer: index of the layer in the graph.
        rows: weight rows.
        entries: weights per row, the bias included.
        positions: transmissions of the rows for one sample.
        encoding: "real" puts one weight on X of a mode, "complex" two on X and P.
        photons_per_symbol: mean photon number of a mode at launch, averaged over the layer.
        scale_snu: quadrature mean per unit of weight, q = s w.
        tiles: modes of each part of a row.

    Raises:
        ConfigurationError: a photon number or scale that is not finite and above 0.
    """

    layer: int
    rows: int
    entries: int
    positions: int
    encoding: Encoding
    photons_per_symbol: float
    scale_snu: float
    tiles: tuple[int, ...]

    def __post_init__(self) -> None:
        check_photons(self.layer, self.photons_per_symbol)
        if not (math.isfinite(self.scale_snu) and self.scale_snu > 0):
            raise ConfigurationError(f"layer {self.layer}: scale is {self.scale_snu} SNU")
        if self.encoding not in ("real", "complex"):
            raise ConfigurationError(f"layer {self.layer}: encoding {self.encoding!r} is unknown")

    @property
    def modes(self) -> int:
        """Modes of a whole row, all tiles."""
        return sum(self.tiles)

    @property
    def weights_per_symbol(self) -> int:
        """Real weights that one mode carries."""
        return 2 if self.encoding == "complex" else 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole agreement about a session's light.

    Args:
        layers: one entry per optical layer, in the order of the graph.
        rows_per_block: rows that are verified together; 0 for all rows of a layer.
        samples_per_block: samples of one batch: all of a layer's light for a batch is sent before
            the next layer's, a disguise lasts for a batch, and a batch is what an audit opens.
        inputs_per_block: data vectors of a batch that are verified together and charged before
            they are sent; 0 for all of the batch. A sample has as many as the layer has positions.
    """

    layers: tuple[LayerPlan, ...]
    rows_per_block: int = 0
    samples_per_block: int = 100
    inputs_per_block: int = 0

    def __post_init__(self) -> None:
        for name, all_of in (("rows_per_block", "rows"), ("inputs_per_block", "of a batch")):
            if getattr(self, name) < 0:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}, it must be at least 0 (0: all {all_of})"
                )
        if self.samples_per_block < 1:
            raise ConfigurationError(
                f"samples_per_block is {self.samples_per_block}, it must be at least 1"
            )

    def of_layer(self, layer: int) -> LayerPlan:
        """The plan of layer `layer` of the graph."""
        for entry in self.layers:
            if entry.layer == layer:
                return entry
        raise ProtocolError(f"layer {layer} is not in the plan")

    def row_ranges(self, layer: LayerPlan) -> Iterator[tuple[int, int]]:
        """First row and number of rows of each block of a layer."""
        step = self.rows_per_block or layer.rows
        for first in range(0, layer.rows, step):
            yield first, min(step, layer.rows - first)

    def batch(self, layer: LayerPlan, first_input: int, samples: int) -> range:
        """The batch of samples that a data vector belongs to; empty beyond the session's samples.

        Args:
            layer: the layer's plan.
            first_input: index of the data vector within the run and layer.
            samples: of the session.
        """
        step = self.samples_per_block
        start = first_input // layer.positions // step * step
        return range(start, min(start + step, samples))

    def input_ranges(self, layer: LayerPlan, samples: range) -> Iterator[tuple[int, int]]:
        """First data vector and number of data vectors of each block of a batch of samples."""
        stop = samples.stop * layer.positions
        first = samples.start * layer.positions
        while first < stop:
            found = self.input_range(layer, samples, first)
            yield found
            first += found[1]

    def input_range(self, layer: LayerPlan, samples: range, first_input: int) -> tuple[int, int]:
        """The one of `input_ranges` that `first_input` lies in."""
        start, stop = samples.start * layer.positions, samples.stop * layer.positions
        step = self.inputs_per_block or stop - start
        first = start + (first_input - start) // step * step
        return first, min(step, stop - first)

    def largest_inputs(self, layer: LayerPlan, samples: int) -> int:
        """Data vectors of the layer's largest block in a session of `samples`."""
        batch = min(self.samples_per_block, samples) * layer.positions
        return min(self.inputs_per_block or batch, batch)

    def block(
        self,
        run: int,
        layer: LayerPlan,
        tile: int,
        rows: tuple[int, int],
        inputs: tuple[int, int],
    ) -> Block:
        """The block of one tile, range of rows and range of data vectors."""
        return Block(
            run=run,
            layer=layer.layer,
            tile=tile,
            first_input=inputs[0],
            inputs=inputs[1],
            first_row=rows[0],
            rows=rows[1],
            modes=layer.tiles[tile],
        )

    def blocks_of_batch(self, samples: int) -> int:
        """Number of blocks of a batch of `samples`."""
        return sum(
            -(-samples * layer.positions // (self.inputs_per_block or samples * layer.positions))
            * len(list(self.row_ranges(layer)))
            * len(layer.tiles)
            for layer in self.layers
        )

    def blocks(self, samples: int) -> int:
        """Number of blocks of a session of `samples`: what the false-alarm rate is shared over."""
        full, rest = divmod(samples, self.samples_per_block)
        blocks = full * self.blocks_of_batch(self.samples_per_block) if full else 0
        return blocks + (self.blocks_of_batch(rest) if rest else 0)

    def symbols(self, samples: int) -> int:
        """Modes sent in a session of `samples`."""
        return samples * sum(layer.rows * layer.modes * layer.positions for layer in self.layers)

    def check_graph(self, graph: Graph) -> None:
        """Refuse a plan that does not belong to `graph`.

        Raises:
            ProtocolError: says which field differs.
        """
        if tuple(entry.layer for entry in self.layers) != graph.optical:
            raise ProtocolError("the plan and the network disagree about the optical layers")
        for entry in self.layers:
            layer = graph.optical_layer(entry.layer)
            wanted = (
                layer.rows,
                layer.columns + layer.bias,
                layer.positions(graph.shapes[entry.layer]),
            )
            if (entry.rows, entry.entries, entry.positions) != wanted:
                raise ProtocolError(
                    f"layer {entry.layer}: the plan says rows, entries, positions "
                    f"{(entry.rows, entry.entries, entry.positions)}, the network {wanted}"
                )
            if entry.modes != math.ceil(entry.entries / entry.weights_per_symbol):
                raise ProtocolError(f"layer {entry.layer}: the tiles do not add up to a row")

    def to_dict(self) -> dict[str, object]:
        """Plain data for a message; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> "Plan":
        """Read what `to_dict` wrote.

        Raises:
            ProtocolError: missing or surplus fields or wrong types.
        """
        try:
            layers, rows, samples, inputs = (
                data[name]
                for name in ("layers", "rows_per_block", "samples_per_block", "inputs_per_block")
            )
            if len(data) != 4 or not isinstance(layers, list | tuple):
                raise ValueError("surplus fields, or layers that are no list")
            return cls(
                layers=tuple(_layer_from_dict(entry) for entry in layers),
                rows_per_block=_whole("rows_per_block", rows, 0),
                samples_per_block=_whole("samples_per_block", samples, 1),
                inputs_per_block=_whole("inputs_per_block", inputs, 0),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ProtocolError(f"the plan cannot be read: {error!r}") from error


def _layer_from_dict(entry: dict[str, Any]) -> LayerPlan:
    for name in ("layer", "rows", "entries", "positions"):
        _whole(name, entry[name], 0 if name == "layer" else 1)
    tiles = tuple(_whole("size of a tile", size, 1) for size in entry["tiles"])
    return LayerPlan(**{**entry, "tiles": tiles})


def _whole(name: str, value: object, lowest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ValueError(f"{name} is {value!r}, it must be a whole number of at least {lowest}")
    return value


def check_photons(layer: int, photons_per_symbol: float) -> float:
    """Refuse a photon number that is not finite and above 0.

    Raises:
        ConfigurationError: says which layer.
    """
    if not (math.isfinite(photons_per_symbol) and photons_per_symbol > 0):
        raise ConfigurationError(
            f"layer {layer}: photons per symbol is {photons_per_symbol}, it must be a finite "
            "number above 0"
        )
    return photons_per_symbol


def tile_sizes(modes: int, modes_per_frame: int) -> tuple[int, ...]:
    """Sizes of the parts of a row, as equal as can be, each within `modes_per_frame`."""
    tiles = math.ceil(modes / modes_per_frame)
    size, larger = divmod(modes, tiles)
    return tuple(size + 1 if tile < larger else size for tile in range(tiles))
