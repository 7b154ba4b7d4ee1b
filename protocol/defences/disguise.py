"""One disguise: new places and scales of the hidden units, dummy rows, and what light they take.

With P the places and D > 0 the scales of a layer's units, W_l' = D_l P_l W_l P_{l-1}^T D_{l-1}^-1:
the function is the same because a ReLU, a maximum and a mean of a channel are positively
homogeneous and treat units apart. A bias scales with its own row alone. The rows of the last layer
stay as they are, so that the client reads the same outputs.

The photons of a layer are what its plan says: a common factor of its units absorbs what their
scales change. The layer that closes a chain of hidden layers has no such factor; its scale in the
plan is lower by a number that depends on the settings alone, and a draw that would still exceed the
plan is pulled back until it does not.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from protocol.defences.hidden_units import HiddenUnits
from protocol.defences.randomness import RandomNumbers
from protocol.defences.settings import Defences, mean_of_log_uniform

__all__ = ["Disguise", "LayerPart", "apply_disguise", "draw_disguise", "highest_energy", "lowering"]

Array = NDArray[np.float64]
Places = NDArray[np.int64]

_BISECTIONS = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerPart:
    """A layer as the disguise sees it.

    Attributes:
        layer: its index in the graph.
        matrix: weights `(rows, entries)`, the bias in the last column.
        before: the units whose outputs it takes, None where these are sent as they are.
        own: the units that its rows are, None likewise.
        row_ranges: first row and number of rows, dummies included, of each block of rows.
        public_before: as `before`, columns counted with those of the dummies.
    """

    layer: int
    matrix: Array
    before: HiddenUnits | None
    own: HiddenUnits | None
    row_ranges: tuple[tuple[int, int], ...]
    public_before: HiddenUnits | None

    @cached_property
    def row_squares(self) -> Array:
        """Sum of the squared weights of each row, `(rows,)`."""
        return np.asarray(np.sum(self.matrix**2, axis=1))

    @cached_property
    def unit_squares(self) -> Array:
        """The same for the columns of each unit before it, `(rows, units)`."""
        assert self.before is not None
        columns = self.before.columns
        squares = self.matrix[:, columns.reshape(-1)] ** 2
        return np.asarray(squares.reshape(len(self.matrix), *columns.shape).sum(axis=2))

    @property
    def closes(self) -> bool:
        """True if it takes scaled units and has none of its own that could be scaled."""
        return _scalable(self.before) and not _scalable(self.own)


@dataclass(frozen=True, kw_only=True, eq=False)
class Disguise:
    """What a block of samples is sent as.

    Attributes:
        places: by layer with hidden units, the row at which each unit is sent `(units,)`.
        scales: by layer with hidden units, D of each unit `(units,)`.
        energies: by layer, squared weights of each real row as sent, over those as they are,
            `(rows,)`; the plan's scale is not in it.
        dummies: by layer, the dummy rows `(dummies, entries)` without the dark columns.
    """

    places: Mapping[int, Places]
    scales: Mapping[int, Array]
    energies: Mapping[int, Array]
    dummies: Mapping[int, Array]


def highest_energy(part: LayerPart, defences: Defences) -> float:
    """Largest photon number of a layer over its mean, a number that depends on settings alone."""
    return (defences.photons / mean_of_log_uniform(defences.photons)) ** _drawn(part)


def lowering(parts: Sequence[LayerPart], defences: Defences) -> dict[int, float]:
    """By layer, what its squared scale in the plan is multiplied with: below 1 where a chain ends.

    The means of D^2 and of D^-2 are both above 1 (Jensen), so that without it the closing layer
    would take more light than planned.
    """
    spread = mean_of_log_uniform(defences.rescale, 2) * mean_of_log_uniform(defences.photons)
    factors, links = {}, 0
    for part in parts:
        links = links + 1 if _scalable(part.before) else 0
        factors[part.layer] = spread ** (-2 * links) if part.closes else 1.0
    return factors


def draw_disguise(
    parts: Sequence[LayerPart], defences: Defences, numbers: RandomNumbers, key: str
) -> Disguise:
    """Draw a fresh disguise.

    Args:
        parts: of all optical layers, in order.
        defences: what is drawn.
        numbers: the source.
        key: of a reproducible source; every disguise has its own.
    """
    places, shapes, photons = {}, {}, {}
    for part in parts:
        if part.own is None:
            continue
        name = f"{key} {part.layer}"
        places[part.layer] = _draw_places(part, defences, numbers, name)
        if part.own.scalable:
            spread = 2 * numbers.uniform(f"{name} scales", part.own.units + 1) - 1
            shapes[part.layer] = spread[1:] * math.log(defences.rescale)
            photons[part.layer] = float(spread[0]) * math.log(defences.photons)
    scales, energies = _fitting_scales(parts, defences, shapes, photons)
    dummies = {
        part.layer: _draw_dummies(part, defences, energies[part.layer], numbers, key)
        for part in parts
        if part.own is not None and defences.dummies
    }
    return Disguise(places=places, scales=scales, energies=energies, dummies=dummies)


def apply_disguise(part: LayerPart, disguise: Disguise) -> Array:
    """The matrix that is sent: `(rows, entries)`, dummies and dark columns included."""
    matrix = part.matrix
    if part.own is not None:
        matrix = matrix * disguise.scales[part.layer][:, None]
    if part.before is not None:
        weights = np.ones(matrix.shape[1])
        weights[part.before.columns] = 1 / disguise.scales[part.before.layer][:, None]
        matrix = _move_columns(part, matrix * weights, disguise)
    if part.own is None:
        return matrix
    # Units first, then dummies: the places that no unit has are theirs.
    if part.layer in disguise.dummies:
        dummies = disguise.dummies[part.layer]
        matrix = np.concatenate([matrix, _move_columns(part, dummies, disguise)])
    rows = disguise.places[part.layer]
    free = np.setdiff1d(np.arange(len(matrix)), rows)
    sent = np.empty_like(matrix)
    sent[np.concatenate([rows, free])] = matrix
    return sent


def _move_columns(part: LayerPart, matrix: Array, disguise: Disguise) -> Array:
    """The columns of the units at their new places, dark ones elsewhere; the bias stays last."""
    before, public = part.before, part.public_before
    if before is None or public is None:
        return matrix
    moved = np.zeros((len(matrix), matrix.shape[1] + public.columns.size - before.columns.size))
    targets = public.columns[disguise.places[before.layer]]
    moved[:, targets.reshape(-1)] = matrix[:, before.columns.reshape(-1)]
    bias = matrix.shape[1] - before.columns.size
    if bias:
        moved[:, -bias:] = matrix[:, -bias:]
    return moved


def _draw_places(part: LayerPart, defences: Defences, numbers: RandomNumbers, name: str) -> Places:
    """Where each unit is sent: within its block of rows, so that a block's units stay its own."""
    assert part.own is not None
    total = part.own.units + defences.dummies
    chance = numbers.uniform(f"{name} places", total)
    places = []
    for first, rows in part.row_ranges:
        real = real_before(part.own.units, total, first + rows) - real_before(
            part.own.units, total, first
        )
        chosen = np.argsort(chance[first : first + rows])[:real]
        places.append(first + (chosen if defences.permute else np.sort(chosen)))
    return np.concatenate(places)


def real_before(units: int, total: int, row: int) -> int:
    """How many of `units` stand in front of a row that begins a block, of `total` rows in all."""
    return row * units // total


def _fitting_scales(
    parts: Sequence[LayerPart],
    defences: Defences,
    shapes: Mapping[int, Array],
    photons: Mapping[int, float],
) -> tuple[dict[int, Array], dict[int, Array]]:
    """Scales and energies of a draw, pulled back so far that no layer exceeds its plan."""
    factors = lowering(parts, defences)

    def scaled(amount: float) -> tuple[dict[int, Array], dict[int, Array]]:
        return _scales(
            parts,
            defences,
            {layer: amount * shape for layer, shape in shapes.items()},
            {layer: amount * value for layer, value in photons.items()},
        )

    def fits(energies: Mapping[int, Array]) -> bool:
        return all(
            factors[part.layer] * _mean_energy(part, energies[part.layer])
            <= highest_energy(part, defences) * (1 + 1e-9)
            for part in parts
        )

    found = scaled(1.0)
    if fits(found[1]):
        return found
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(scaled(middle)[1]) else (low, middle)
    return scaled(low)


def _scales(
    parts: Sequence[LayerPart],
    defences: Defences,
    shapes: Mapping[int, Array],
    photons: Mapping[int, float],
) -> tuple[dict[int, Array], dict[int, Array]]:
    """D of every layer with hidden units, and the energies of all rows."""
    scales: dict[int, Array] = {}
    energies: dict[int, Array] = {}
    mean = mean_of_log_uniform(defences.photons)
    for part in parts:
        squares = _row_squares(part, scales)
        if part.own is not None and part.own.scalable:
            own = np.exp(shapes[part.layer])
            drawn = photons[part.layer]
            if part.before is not None and part.before.scalable:
                drawn -= photons[part.before.layer]
            wanted = math.exp(drawn) / mean ** _drawn(part) * float(np.sum(part.row_squares))
            scales[part.layer] = own * math.sqrt(wanted / float(np.sum(own**2 * squares)))
            squares = squares * scales[part.layer] ** 2
        elif part.own is not None:
            scales[part.layer] = np.ones(part.own.units)
        plain = part.row_squares
        energies[part.layer] = np.divide(
            squares, plain, out=np.zeros_like(squares), where=plain > 0
        )
    return scales, energies


def _row_squares(part: LayerPart, scales: Mapping[int, Array]) -> Array:
    """Squared weights of each row once its columns are divided by the scales of their units."""
    if part.before is None:
        return part.row_squares
    change = scales[part.before.layer] ** -2 - 1
    return np.asarray(part.row_squares + part.unit_squares @ change)


def _mean_energy(part: LayerPart, energies: Array) -> float:
    plain = part.row_squares
    return float(np.sum(energies * plain) / np.sum(plain))


def _draw_dummies(
    part: LayerPart, defences: Defences, energies: Array, numbers: RandomNumbers, key: str
) -> Array:
    """Gaussian rows with the root mean square that the plan tells of the layer anyway.

    Nothing else of them depends on the weights, so that their light tells nothing of these.
    """
    rows, entries = defences.dummies, part.matrix.shape[1]
    rms = math.sqrt(_mean_energy(part, energies) * float(np.mean(part.matrix**2)))
    chance = numbers.uniform(f"{key} {part.layer} dummies", rows * entries)
    return np.asarray(rms * ndtri(chance).reshape(rows, entries))


def _drawn(part: LayerPart) -> int:
    """How many random photon factors meet in a layer."""
    return int(_scalable(part.before)) + int(_scalable(part.own))


def _scalable(units: HiddenUnits | None) -> bool:
    return units is not None and units.scalable
