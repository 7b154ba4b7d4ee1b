"""From measured values of the returned light to the statistics that verification needs."""

import math

import torch
from torch import Tensor

from drivers.backend import ReturnProjection, ReturnSummary

__all__ = ["add_projections", "add_summaries", "project_return", "summarise"]


def summarise(
    values: Tensor,
    quadratures: Tensor,
    means_snu: Tensor,
    reference_gain: float,
    converter_range_snu: float = math.inf,
    converter_step_snu: float = 0.0,
) -> ReturnSummary:
    """Reduce every mode of every frame to the sums of a `ReturnSummary`.

    Args:
        values: measured quadratures `(inputs, rows, modes)` in SNU.
        quadratures: bool `(inputs, rows)`, True where P was measured.
        means_snu: launched means `(inputs or 1, rows, modes)`, real (X only) or complex.
        reference_gain: gain of the residual.
        converter_range_snu: full scale of the digitiser.
        converter_step_snu: width of one code.
    """
    expected = _expected(means_snu, quadratures)
    energy = _sums(expected.square().sum(-1), quadratures)
    projection = _sums((expected * values).sum(-1), quadratures)
    squares = (values - reference_gain * expected).square_()
    residual = _sums(squares.sum(-1), quadratures)
    fourth = _sums(squares.square_().sum(-1), quadratures)
    at_rail = (values >= converter_range_snu - 1.5 * converter_step_snu) | (
        values <= -converter_range_snu
    )
    return ReturnSummary(
        frames=_sums(torch.ones_like(quadratures, dtype=torch.float32), quadratures),
        reference_gain=reference_gain,
        mean_energy_snu=energy,
        projection_snu=projection,
        residual_energy_snu=residual,
        rails=_sums(at_rail.sum(-1).to(torch.float32), quadratures),
        modes=values.shape[-1],
        residual_fourth_snu=fourth,
        unseen_energy_snu=_sums(_unseen(means_snu, quadratures), quadratures),
    )


def project_return(
    values: Tensor, quadratures: Tensor, means_snu: Tensor, data: Tensor, reference_gain: float
) -> ReturnProjection:
    """Deviations of every frame along the data vector of its input, squared and summed.

    Args:
        values: measured quadratures `(inputs, rows, modes)` in SNU.
        quadratures: bool `(inputs, rows)`, True where P was measured.
        means_snu: launched means `(inputs or 1, rows, modes)`.
        data: vectors of unit norm, real, `(inputs, modes)`.
        reference_gain: gain of the expected mean.
    """
    deviations = values - reference_gain * _expected(means_snu, quadratures)
    along = torch.matmul(deviations, data.to(deviations.dtype)[..., None])[..., 0].square_()
    x, p = _sums(along, quadratures).sum(1).tolist()
    on_p = int(quadratures.sum())
    return ReturnProjection(frames=(quadratures.numel() - on_p, on_p), energy_snu=(x, p))


def add_projections(parts: list[ReturnProjection]) -> ReturnProjection:
    """The projection of all frames of `parts`."""
    x, p = zip(*(part.frames for part in parts), strict=True)
    on_x, on_p = zip(*(part.energy_snu for part in parts), strict=True)
    return ReturnProjection(frames=(sum(x), sum(p)), energy_snu=(sum(on_x), sum(on_p)))


def _expected(means_snu: Tensor, quadratures: Tensor) -> Tensor:
    """Launched means of the quadrature that was measured, `(inputs, rows, modes)`."""
    if means_snu.is_complex():
        return torch.where(quadratures[..., None], means_snu.imag, means_snu.real)
    return means_snu * (~quadratures[..., None])


def _unseen(means_snu: Tensor, quadratures: Tensor) -> Tensor:
    """Energy launched in the quadrature that was not measured, `(inputs, rows)`."""
    parts = (means_snu.real, means_snu.imag) if means_snu.is_complex() else (means_snu, None)
    on_x, on_p = (0.0 if part is None else part.square().sum(-1) for part in parts)
    return torch.where(quadratures, on_x, on_p)


def _sums(per_frame: Tensor, quadratures: Tensor) -> Tensor:
    """Sum `(inputs, rows)` over inputs, X and P frames apart: float64 `(2, rows)`."""
    on_p = torch.where(quadratures, per_frame, 0.0).sum(0, dtype=torch.float64)
    return torch.stack([per_frame.sum(0, dtype=torch.float64) - on_p, on_p]).cpu()


def add_summaries(parts: list[ReturnSummary]) -> ReturnSummary:
    """The summary of all frames of `parts`, which share rows, modes and reference gain."""
    first = parts[0]
    fourths = [p.residual_fourth_snu for p in parts if p.residual_fourth_snu is not None]
    unseen = [p.unseen_energy_snu for p in parts if p.unseen_energy_snu is not None]
    return ReturnSummary(
        frames=torch.stack([p.frames for p in parts]).sum(0),
        reference_gain=first.reference_gain,
        mean_energy_snu=torch.stack([p.mean_energy_snu for p in parts]).sum(0),
        projection_snu=torch.stack([p.projection_snu for p in parts]).sum(0),
        residual_energy_snu=torch.stack([p.residual_energy_snu for p in parts]).sum(0),
        rails=torch.stack([p.rails for p in parts]).sum(0),
        modes=first.modes,
        residual_fourth_snu=torch.stack(fourths).sum(0) if len(fourths) == len(parts) else None,
        unseen_energy_snu=torch.stack(unseen).sum(0) if len(unseen) == len(parts) else None,
    )
