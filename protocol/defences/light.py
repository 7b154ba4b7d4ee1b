"""What a server sends of its weights, block by block: as they are, or in a disguise of each block.

All layers of one block of samples share one disguise. A client asks for the blocks of samples in
order, so that one disguise at a time is in memory and none is used twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import Block, ReturnSummary
from drivers.errors import ConfigurationError, ProtocolError
from protocol.defences.network import DisguisedNetwork, SentWeights
from protocol.defences.randomness import RandomNumbers
from protocol.encoding import encode_weights
from protocol.models.graph import Graph
from protocol.models.model import Model
from protocol.plan import LayerPlan, Plan

__all__ = ["DisguiseRecord", "WeightLight"]

Array = NDArray[np.float64]


@dataclass(kw_only=True)
class DisguiseRecord:
    """What the disguises of a layer were in a session.

    Attributes:
        blocks: blocks of samples.
        total: photons per weight and copy that they were charged, summed.
        most: of one of them.
        alignment: largest share of a launched block's energy that lay in one mode, whatever the
            data; 0 before the first block was tested.
        unevenness: mean square of the rows' energies over their squared mean, the largest.
    """

    blocks: int = 0
    total: float = 0.0
    most: float = 0.0
    alignment: float = 0.0
    unevenness: float = 1.0

    @property
    def mean(self) -> float:
        """Mean over the blocks of samples."""
        return self.total / self.blocks if self.blocks else 0.0


class WeightLight:
    """The quadrature means of a session's blocks and what the ledger is charged for them.

    Args:
        model: the network.
        plan: how it is sent.
        disguise: in which disguise, None as it is.
        numbers: what the disguises are drawn from.

    Raises:
        ConfigurationError: a plan that is not the disguise's.
        ProtocolError: a plan of another network.
    """

    def __init__(
        self,
        model: Model,
        plan: Plan,
        disguise: DisguisedNetwork | None,
        numbers: RandomNumbers,
    ) -> None:
        self._plan, self._disguise, self._numbers = plan, disguise, numbers
        self.graph: Graph = model.graph if disguise is None else disguise.graph
        plan.check_graph(self.graph)
        if disguise is not None and disguise.plan != plan:
            raise ConfigurationError(
                "the plan is not the one of the disguised network; send by its own plan"
            )
        self.disguised: dict[int, DisguiseRecord] = {}
        self.first_matrices: Mapping[int, Array] = {}
        self._first_sample = -1
        self._sent: SentWeights | None = None
        self._means: dict[int, list[Tensor]] = {}
        if disguise is None:
            self._means = {
                entry.layer: encode_weights(model.matrix(entry.layer), entry)
                for entry in plan.layers
            }

    @property
    def fresh(self) -> bool:
        """True if every block of samples is sent in a disguise of its own."""
        return self._disguise is not None

    def means(self, key: str, first_sample: int, layer: LayerPlan, tile: int) -> Tensor:
        """Means of all rows of a tile, `(rows, modes)`, SNU.

        Args:
            key: of a reproducible source of disguises.
            first_sample: first of the block of samples.
            layer: plan of the layer.
            tile: index of the tile.

        Raises:
            ProtocolError: a block of samples after which another one was begun.
        """
        if self._disguise is not None and first_sample != self._first_sample:
            self._begin(self._disguise, key, first_sample)
        if layer.layer not in self._means and self._sent is not None:
            matrix = torch.from_numpy(self._sent.matrices[layer.layer]).to(torch.float32)
            tiles = encode_weights(matrix, layer)
            self._means[layer.layer] = tiles
            record = self.disguised[layer.layer]
            record.unevenness = max(record.unevenness, *(unevenness(part) for part in tiles))
        return self._means[layer.layer][tile]

    def photons(self, layer: LayerPlan) -> float:
        """Photons per weight and copy to be charged for the block of samples that is being sent."""
        if self._sent is None:
            return layer.photons_per_symbol
        return self._sent.photons_per_symbol[layer.layer]

    def aligned(self, layer: int, alignment: float) -> float:
        """Note the alignment of a block that was launched; the same number."""
        if layer in self.disguised:
            record = self.disguised[layer]
            record.alignment = max(record.alignment, alignment)
        return alignment

    def of_weights(self, block: Block, summary: ReturnSummary) -> ReturnSummary:
        """A block's summary without the dummy rows.

        For the evidence of the certificate: a client that could tell dummies from weights, and
        spared them, must not look better by their number.
        """
        units = None if self._sent is None else self._sent.unit_rows.get(block.layer)
        if units is None:
            return summary
        inside = units[(units >= block.first_row) & (units < block.first_row + block.rows)]
        rows = torch.from_numpy(np.sort(inside) - block.first_row)
        fourth, unseen = summary.residual_fourth_snu, summary.unseen_energy_snu
        return replace(
            summary,
            frames=summary.frames[:, rows],
            mean_energy_snu=summary.mean_energy_snu[:, rows],
            projection_snu=summary.projection_snu[:, rows],
            residual_energy_snu=summary.residual_energy_snu[:, rows],
            rails=summary.rails[:, rows],
            residual_fourth_snu=None if fourth is None else fourth[:, rows],
            unseen_energy_snu=None if unseen is None else unseen[:, rows],
        )

    def ledger_rows(self, layer: LayerPlan, first_row: int, rows: int) -> tuple[int, int]:
        """The model's rows among those of a block: first and number."""
        if self._disguise is None:
            return first_row, rows
        return self._disguise.ledger_rows(layer.layer, first_row, rows)

    def _begin(self, disguise: DisguisedNetwork, key: str, first_sample: int) -> None:
        if first_sample < self._first_sample:
            raise ProtocolError(
                f"samples from {first_sample} come after those from {self._first_sample}: while "
                "the weights are disguised, a block of samples is finished before the next begins"
            )
        self._first_sample, self._means = first_sample, {}
        self._sent = disguise.draw(self._numbers, f"{key} {first_sample}")
        if not self.first_matrices:
            self.first_matrices = self._sent.matrices
        for layer, photons in self._sent.photons_per_symbol.items():
            known = self.disguised.setdefault(layer, DisguiseRecord())
            known.blocks += 1
            known.total += photons
            known.most = max(known.most, photons)


def unevenness(means: Tensor) -> float:
    """Mean square of the rows' energies over their squared mean; 1 where all are alike.

    Args:
        means: `(rows, modes)`, SNU.
    """
    energies = means.abs().square().sum(1).double()
    mean = float(energies.mean())
    return float(energies.square().mean()) / mean**2 if mean else 1.0
