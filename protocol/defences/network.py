"""A network that is sent in disguise: what the client is told of it, and what each block is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.errors import ConfigurationError
from protocol.defences.disguise import (
    Disguise,
    LayerPart,
    apply_disguise,
    draw_disguise,
    highest_energy,
    lowering,
    real_before,
)
from protocol.defences.hidden_units import HiddenUnits, hidden_units, with_more_units
from protocol.defences.randomness import RandomNumbers
from protocol.defences.settings import Defences
from protocol.encoding import make_plan
from protocol.models.graph import Graph
from protocol.models.model import Model
from protocol.plan import Encoding, Plan, tile_sizes

__all__ = ["DisguisedNetwork", "SentWeights", "disguise_network"]

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class SentWeights:
    """What one block of samples is sent as.

    Attributes:
        matrices: by layer, `(rows, entries)`, float64, in units of weight as the plan scales them.
        photons_per_symbol: by layer, what the ledger is charged per weight and copy: the layer's
            mean photon number times the largest factor by which any row has more light than
            without the disguise.
        unit_rows: by layer with hidden units, the rows of `matrices` that are not dummies.
    """

    matrices: Mapping[int, Array]
    photons_per_symbol: Mapping[int, float]
    unit_rows: Mapping[int, Places]


@dataclass(frozen=True, kw_only=True, eq=False)
class DisguisedNetwork:
    """A model, what the client is told of it, and a source of disguises.

    Attributes:
        defences: what is drawn afresh.
        graph: what the client is told: with the dummies.
        plan: how it is sent. A layer's `photons_per_symbol` is the most that any query takes,
            averaged over its weights.
        hidden: the layers whose units are disguised.
        real_rows: rows of the model, by layer.
    """

    defences: Defences
    graph: Graph
    plan: Plan
    hidden: tuple[int, ...]
    real_rows: Mapping[int, int]
    _parts: tuple[LayerPart, ...]
    _mean_photons: Mapping[int, float]

    def draw(self, numbers: RandomNumbers, key: str) -> SentWeights:
        """A fresh disguise.

        Args:
            numbers: the source.
            key: of a reproducible source; every disguise has its own.
        """
        disguise = draw_disguise(self._parts, self.defences, numbers, key)
        return SentWeights(
            matrices={part.layer: apply_disguise(part, disguise) for part in self._parts},
            photons_per_symbol=self._charged(disguise),
            unit_rows=disguise.places,
        )

    def ledger_rows(self, layer: int, first_row: int, rows: int) -> tuple[int, int]:
        """The model's rows in a block: first and number; dummies are not among them."""
        total, real = self.plan.of_layer(layer).rows, self.real_rows[layer]
        first = real_before(real, total, first_row)
        return first, real_before(real, total, first_row + rows) - first

    def _charged(self, disguise: Disguise) -> dict[int, float]:
        lowered = lowering(self._parts, self.defences)
        return {
            part.layer: self._mean_photons[part.layer]
            * lowered[part.layer]
            * float(np.max(disguise.energies[part.layer]))
            for part in self._parts
        }


def disguise_network(
    model: Model,
    defences: Defences,
    photons_per_symbol: tuple[float, ...],
    *,
    encoding: Encoding,
    modes_per_frame: int,
    rows_per_block: int = 0,
    samples_per_block: int = 100,
    inputs_per_block: int = 0,
) -> DisguisedNetwork:
    """A model that is sent in disguise.

    Args:
        model: the network.
        defences: at least one.
        photons_per_symbol: one number per optical layer: the mean over its weights and over the
            queries.
        encoding: see `protocol.encoding.make_plan`, as the others.
        modes_per_frame: what both parties' optics can take.
        rows_per_block: rows that are verified together; units change places within a block.
        samples_per_block: samples that are sent and disguised together.
        inputs_per_block: data vectors of them that are verified together; see `Plan`.

    Raises:
        ConfigurationError: a setting is out of range, no units can be disguised, or a block of
            rows would hold dummies alone.
    """
    hidden = hidden_units(model.graph)
    _check_hidden(defences, hidden)
    graph = (
        with_more_units(model.graph, hidden, defences.dummies)
        if defences.dummies
        else (model.graph)
    )
    plain = make_plan(
        model,
        photons_per_symbol,
        encoding=encoding,
        modes_per_frame=modes_per_frame,
        rows_per_block=rows_per_block,
        samples_per_block=samples_per_block,
        inputs_per_block=inputs_per_block,
    )
    parts = _parts(model, graph, hidden, plain)
    lowered = lowering(parts, defences)
    layers = []
    for part in parts:
        entry = plain.of_layer(part.layer)
        optical = graph.optical_layer(part.layer)
        entries = optical.columns + optical.bias
        layers.append(
            replace(
                entry,
                rows=optical.rows,
                entries=entries,
                photons_per_symbol=entry.photons_per_symbol * highest_energy(part, defences),
                scale_snu=entry.scale_snu * math.sqrt(lowered[part.layer]),
                tiles=tile_sizes(math.ceil(entries / entry.weights_per_symbol), modes_per_frame),
            )
        )
    disguised = DisguisedNetwork(
        defences=defences,
        graph=graph,
        plan=replace(plain, layers=tuple(layers)),
        hidden=tuple(found.layer for found in hidden),
        real_rows={part.layer: len(part.matrix) for part in parts},
        _parts=parts,
        _mean_photons={entry.layer: entry.photons_per_symbol for entry in plain.layers},
    )
    _check_blocks(disguised)
    return disguised


def _parts(
    model: Model, graph: Graph, hidden: tuple[HiddenUnits, ...], plain: Plan
) -> tuple[LayerPart, ...]:
    own = {found.layer: found for found in hidden}
    before = {found.following: found for found in hidden}
    public = {found.following: found for found in hidden_units(graph)}
    parts = []
    for entry in plain.layers:
        rows = graph.optical_layer(entry.layer).rows
        weights: Tensor = model.matrix(entry.layer).detach().cpu().to(torch.float64)
        parts.append(
            LayerPart(
                layer=entry.layer,
                matrix=weights.numpy(),
                before=before.get(entry.layer),
                own=own.get(entry.layer),
                row_ranges=tuple(plain.row_ranges(replace(entry, rows=rows))),
                public_before=public.get(entry.layer),
            )
        )
    return tuple(parts)


def _check_hidden(defences: Defences, hidden: tuple[HiddenUnits, ...]) -> None:
    if not defences.active:
        raise ConfigurationError("defences: none is named, so there is nothing to disguise")
    if not hidden:
        raise ConfigurationError(
            f"defence {defences.text}: this network has no hidden units that could change places: "
            "two optical layers with ReLU, pooling or flattening alone between them are needed"
        )
    scaled = defences.rescale > 1 or defences.photons > 1
    if scaled and not any(found.scalable for found in hidden):
        raise ConfigurationError(
            f"defence {defences.text}: no hidden units of this network can be scaled, what stands "
            "between its layers is not positively homogeneous as ReLU is; leave out rescale and "
            "photons"
        )


def _check_blocks(disguised: DisguisedNetwork) -> None:
    for entry in disguised.plan.layers:
        for first, rows in disguised.plan.row_ranges(entry):
            if disguised.ledger_rows(entry.layer, first, rows)[1] == 0:
                raise ConfigurationError(
                    f"layer {entry.layer}: rows {first} to {first + rows - 1} of a block would be "
                    "dummies alone; take fewer dummies or more rows_per_block"
                )
