"""Weights to quadrature means, data to unit vectors, outcomes back to products.

Real encoding puts one weight on X of a mode, complex encoding the weights 2j and 2j+1 on X and P
of mode j. A bias is one more weight whose datum is 1. A row longer than the receiver's modes is cut
into tiles: each tile of the data is normalised by itself and its outcome is scaled back by its own
norm, so that the noise of the sum is |x|^2 v / (a s)^2, the same as of one long frame.
"""

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from drivers.errors import ConfigurationError, DataError
from protocol.models.model import Model
from protocol.plan import Encoding, LayerPlan, Plan, check_photons, tile_sizes

_SMALLEST_NORM = 1e-18
"""Squares of smaller entries are lost to float32."""

__all__ = [
    "decode",
    "encode_data",
    "encode_weights",
    "make_plan",
    "photons_for_signal_to_noise",
    "scale_for_photons",
    "signal_to_noise",
]


def scale_for_photons(matrix: Tensor, photons_per_symbol: float, encoding: Encoding) -> float:
    """Quadrature mean per unit of weight for a mean photon number per mode.

    A coherent state with quadrature means (X, P) in shot-noise units has (X^2 + P^2)/4 photons, so
    that s^2 = 4 mu / mean(w^2) for one weight per mode and 2 mu / mean(w^2) for two.

    Args:
        matrix: weight matrix `(rows, entries)`.
        photons_per_symbol: mu, averaged over the layer's modes.
        encoding: "real" or "complex".
    """
    modes = math.ceil(matrix.shape[1] / (2 if encoding == "complex" else 1)) * matrix.shape[0]
    energy = float(torch.linalg.vector_norm(matrix, dtype=torch.float64)) ** 2 / 4
    return math.sqrt(photons_per_symbol * modes / energy)


def photons_for_signal_to_noise(
    signal_to_noise: float, snr_factor: float, encoding: Encoding
) -> float:
    """Photons per mode for F^2 = 4 mu f (real) or 2 mu f (complex encoding).

    Args:
        signal_to_noise: F^2, root-mean-square quadrature signal over unit noise, squared.
        snr_factor: f of the receiver, losses and detector noise included.
        encoding: "real" or "complex".
    """
    return signal_to_noise / (snr_factor * (2 if encoding == "complex" else 4))


def signal_to_noise(photons_per_symbol: float, snr_factor: float, encoding: Encoding) -> float:
    """F^2, the inverse of `photons_for_signal_to_noise`."""
    return photons_per_symbol * snr_factor * (2 if encoding == "complex" else 4)


def make_plan(
    model: Model,
    photons_per_symbol: tuple[float, ...],
    *,
    encoding: Encoding,
    modes_per_frame: int,
    rows_per_block: int = 0,
    samples_per_block: int = 100,
    inputs_per_block: int = 0,
) -> Plan:
    """The server's plan for a model.

    Args:
        model: the network.
        photons_per_symbol: one number per optical layer.
        encoding: of all layers.
        modes_per_frame: what both parties' optics can take.
        rows_per_block: see `Plan`.
        samples_per_block: see `Plan`.
        inputs_per_block: see `Plan`.

    Raises:
        ConfigurationError: wrong number of photon numbers, or one that is not above 0.
    """
    graph = model.graph
    if len(photons_per_symbol) != len(graph.optical):
        raise ConfigurationError(
            f"{len(photons_per_symbol)} photon numbers are given, the network has "
            f"{len(graph.optical)} optical layers: give one per layer"
        )
    layers = []
    for index, photons in zip(graph.optical, photons_per_symbol, strict=True):
        check_photons(index, photons)
        matrix = model.matrix(index)
        modes = math.ceil(matrix.shape[1] / (2 if encoding == "complex" else 1))
        layers.append(
            LayerPlan(
                layer=index,
                rows=matrix.shape[0],
                entries=matrix.shape[1],
                positions=graph.optical_layer(index).positions(graph.shapes[index]),
                encoding=encoding,
                photons_per_symbol=photons,
                scale_snu=scale_for_photons(matrix, photons, encoding),
                tiles=tile_sizes(modes, modes_per_frame),
            )
        )
    return Plan(
        layers=tuple(layers),
        rows_per_block=rows_per_block,
        samples_per_block=samples_per_block,
        inputs_per_block=inputs_per_block,
    )


def encode_weights(matrix: Tensor, plan: LayerPlan) -> list[Tensor]:
    """Quadrature means of each tile: `(rows, modes)`, real or complex, SNU."""
    return list(torch.split(_to_modes(matrix * plan.scale_snu, plan), list(plan.tiles), dim=1))


def encode_data(
    vectors: Tensor, plan: LayerPlan, *, in_place: bool = False
) -> list[tuple[Tensor, Tensor]]:
    """Unit vectors `(inputs, modes)` and norms `(inputs, 1)` of each tile.

    A vector of zeros is loaded as an even one: the light is sent and measured all the same, so that
    nobody sees a difference, and its norm makes the product 0. So is one too small for float32 to
    normalise.

    Args:
        vectors: `(inputs, entries)`.
        plan: of the layer.
        in_place: the vectors may be overwritten, which spares the memory of a second copy.

    Raises:
        DataError: a vector too large for float32 to normalise.
    """
    tiles = []
    for part in torch.split(_to_modes(vectors, plan), list(plan.tiles), dim=1):
        norms = torch.linalg.vector_norm(part, dim=1, keepdim=True)
        if not bool(torch.isfinite(norms).all()):
            raise DataError(
                f"layer {plan.layer}: the norm of a data vector exceeds float32; scale the data"
            )
        empty = norms < _SMALLEST_NORM
        unit = torch.div(part, norms.clamp_min(_SMALLEST_NORM), out=part if in_place else None)
        if bool(empty.any()):
            unit[empty[:, 0]] = part.shape[1] ** -0.5
        tiles.append((unit, norms))
    return tiles


def decode(outcomes: Tensor, norms: Tensor, signal_gain: float, plan: LayerPlan) -> Tensor:
    """Estimates of the products of one tile, |x| y / (a s): `(inputs, rows)`, in place."""
    return outcomes.mul_(norms / (signal_gain * plan.scale_snu))


def _to_modes(values: Tensor, plan: LayerPlan) -> Tensor:
    """`(n, entries)` to `(n, modes)`."""
    if plan.encoding == "real":
        return values
    if plan.entries % 2:
        values = nnf.pad(values, (0, 1))
    return torch.view_as_complex(values.reshape(values.shape[0], -1, 2).contiguous())
