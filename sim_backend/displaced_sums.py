"""Draws of the verification's sums for light with means on both quadratures, and real data.

As in `returned_sums`, a frame needs draws of its own along the data mode and along what is left of
the measured mean; a phase error adds what is left of the other quadrature's mean. All other
coordinates enter as one chi-square.
"""

import torch
from torch import Tensor

from drivers.backend import ReturnSummary
from sim_backend.flight import Flight, ReturnChannel
from sim_backend.returned_sums import chi_square_frames, fourth_sums
from sim_backend.settings import LinkSettings

__all__ = ["summary_displaced"]

_PIECE_VALUES = 1 << 24


def summary_displaced(
    flight: Flight,
    settings: LinkSettings,
    channel: ReturnChannel,
    quadratures: Tensor,
    reference_gain: float,
) -> ReturnSummary:
    """The summary of complex means with real data; an exact inverse unitary.

    Args:
        flight: the block, measured by the client.
        settings: the link; no unitary error.
        channel: its return.
        quadratures: bool `(inputs, rows)`.
        reference_gain: gain of the residual.
    """
    block, on_p = flight.block, quadratures
    assert flight.overlap_p is not None
    x, p = flight.data_mode()
    noise_x, noise_p = flight.data_mode_noise()
    data_mode = channel.weight_x * (x + noise_x) + channel.weight_p * (p + noise_p)
    share = channel.amplitude * flight.share(settings)
    measured = share * torch.where(on_p, channel.weight_p, channel.weight_x)
    leaking = share * torch.where(on_p, channel.weight_x, channel.weight_p)
    white = channel.white_variance.sqrt()
    other = (channel.white_variance + channel.technical_variance).sqrt()
    draws = flight.streams.sums.take(block.inputs, block.rows, 3).unbind(-1)

    along = torch.where(on_p, flight.overlap_p, flight.overlap_x)
    energy_x, energy_p, product = _energies(flight.means, leaks=bool(leaking.any()))
    energy = torch.where(on_p, energy_p, energy_x)
    rest = (energy - along.square()).clamp_min(0).sqrt()
    # Of the other quadrature's mean: what lies along the rest of this one, and what is left.
    across = torch.where(on_p, flight.overlap_x, flight.overlap_p)
    shared = (product - along * across) / rest.clamp_min(1e-12)
    left = torch.where(on_p, energy_x, energy_p) - across.square() - shared.square()
    values = [
        channel.amplitude * data_mode + white * draws[0],
        measured * rest + leaking * shared + other * draws[1],
        leaking * left.clamp_min(0).sqrt() + other * draws[2],
    ]
    means = [along, rest, torch.zeros_like(rest)]
    residual = other.square() * chi_square_frames(flight, block.modes - len(values))
    projection = torch.zeros_like(residual)
    for mean, value in zip(means, values, strict=True):
        projection += mean * value
        residual += (value - reference_gain * mean).square_()
    frames, energies = _sums(torch.ones_like(residual), on_p), _sums(residual, on_p)
    return ReturnSummary(
        frames=frames,
        reference_gain=reference_gain,
        mean_energy_snu=_sums(energy, on_p),
        projection_snu=_sums(projection, on_p),
        residual_energy_snu=energies,
        rails=torch.zeros((2, block.rows), dtype=torch.float64),
        modes=block.modes,
        residual_fourth_snu=fourth_sums(flight, channel, frames.numpy(), energies.numpy()),
        unseen_energy_snu=_sums(torch.where(on_p, energy_x, energy_p), on_p),
    )


def _energies(means: Tensor, *, leaks: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Energies of X and of P, and their product summed over the modes: `(inputs or 1, rows)`."""
    parts = torch.view_as_real(means)
    on_x = torch.linalg.vector_norm(parts[..., 0], dim=-1).square_()
    on_p = torch.linalg.vector_norm(parts[..., 1], dim=-1).square_()
    product = torch.zeros_like(on_x)
    if leaks:
        step = max(1, _PIECE_VALUES // (means.shape[1] * means.shape[2]))
        for start in range(0, len(means), step):
            piece = parts[start : start + step]
            product[start : start + step] = piece.prod(-1).sum(-1)
    return on_x, on_p, product


def _sums(per_frame: Tensor, on_p: Tensor) -> Tensor:
    """Sums over the inputs, X and P frames apart: float64 `(2, rows)`."""
    whole = per_frame.expand(on_p.shape).sum(0, dtype=torch.float64)
    second = torch.where(on_p, per_frame, 0.0).sum(0, dtype=torch.float64)
    return torch.stack([whole - second, second]).cpu()
