"""Draws of the verification's sums, exact in distribution, without the modes behind them.

The returned light of a frame is a mean, white noise, and excess noise along the data mode alone. In
a basis that holds the data mode, its rotation partner and what is left of the launched mean, only
those coordinates need draws of their own; all others enter as one chi-square.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from drivers.backend import ReturnSummary
from sim_backend.flight import Flight, ReturnChannel
from sim_backend.settings import LinkSettings

__all__ = [
    "LOWEST_MODES",
    "Scratch",
    "chi_square_frames",
    "fourth_sums",
    "summary_per_frame",
    "summary_pooled",
]

Array = NDArray[np.float64]

_SUM_VALUES = 1 << 18
"""Entries of one piece of the sums over X frames."""

_SOME_INPUTS = 64
"""Data vectors that stand for all of a block where an average over them will do."""

LOWEST_MODES = 4
"""Frames with fewer modes are drawn mode by mode: the basis would have no room."""


class Scratch:
    """Memory that one block after another uses: fresh pages cost more than the sums themselves."""

    def __init__(self, device: torch.device) -> None:
        self._values = torch.empty(0, device=device)

    def take(self, *shape: int) -> Tensor:
        """Float32 room of `shape`, unset, until the next call."""
        count = math.prod(shape)
        if self._values.numel() < count:
            self._values = torch.empty(count, device=self._values.device)
        return self._values[:count].view(shape)


def summary_per_frame(
    flight: Flight,
    settings: LinkSettings,
    channel: ReturnChannel,
    quadratures: Tensor,
    reference_gain: float,
) -> ReturnSummary:
    """The summary from three coordinates and a chi-square per frame; real light alone."""
    block = flight.block
    x, p = flight.data_mode()
    noise_x, noise_p = flight.data_mode_noise()
    data_mode = channel.weight_x * (x + noise_x) + channel.weight_p * (p + noise_p)
    plain = channel.amplitude * channel.weight_x * flight.share(settings)
    white = channel.white_variance.sqrt()
    other = (channel.white_variance + channel.technical_variance).sqrt()
    draws = flight.streams.sums.take(block.inputs, block.rows, 3).unbind(-1)
    energy = flight.means.square().sum(-1).expand(block.inputs, block.rows)

    values = [channel.amplitude * data_mode + white * draws[0]]
    means = [flight.overlap_x]
    partner = flight.partner(settings)
    if partner is not None:
        mode, angle = partner
        side, _ = flight.overlap(mode)
        cos, sin = torch.cos(angle), torch.sin(angle)
        means = [cos * means[0] + sin * side, cos * side - sin * means[0]]
        values.append(plain * side + other * draws[1])
    rest = energy.clone()
    for mean in means:
        rest -= mean.square()
    means.append(rest.clamp_min_(0).sqrt_())
    values.append(plain * means[-1] + other * draws[2])

    on_x = (~quadratures).to(torch.float32)
    residual = other.square() * chi_square_frames(flight, block.modes - len(values))
    projection = torch.zeros_like(residual)
    for mean, value in zip(means, values, strict=True):
        expected = on_x * mean
        projection += expected * value
        residual += (value - reference_gain * expected).square_()
    residual_p = torch.where(quadratures, residual, 0.0).sum(0, dtype=torch.float64)
    residual_x = residual.sum(0, dtype=torch.float64) - residual_p
    frames_x = on_x.sum(0, dtype=torch.float64)
    zero = torch.zeros_like(frames_x)
    frames = torch.stack([frames_x, block.inputs - frames_x]).cpu()
    energies = torch.stack([residual_x, residual_p]).cpu()
    unseen = torch.where(quadratures, energy, 0.0).sum(0, dtype=torch.float64)
    return ReturnSummary(
        frames=frames,
        reference_gain=reference_gain,
        mean_energy_snu=torch.stack([(on_x * energy).sum(0, dtype=torch.float64), zero]).cpu(),
        projection_snu=torch.stack([projection.sum(0, dtype=torch.float64), zero]).cpu(),
        residual_energy_snu=energies,
        rails=torch.zeros((2, block.rows), dtype=torch.float64),
        modes=block.modes,
        residual_fourth_snu=fourth_sums(flight, channel, frames.numpy(), energies.numpy()),
        unseen_energy_snu=torch.stack([zero, unseen]).cpu(),
    )


def summary_pooled(
    flight: Flight,
    settings: LinkSettings,
    channels: tuple[ReturnChannel, ReturnChannel],
    quadratures: Tensor,
    reference_gain: float,
    scratch: Scratch,
) -> ReturnSummary:
    """The summary of a steady link with real light, from a few draws per row.

    Along the data mode the record has noise T = b u + s z, with u the noise of the client's outcome
    and z independent. Over the X frames of a row, with c the overlaps of mean and data, the sums of
    c T and T^2 depend on z only through its components along the vectors c and u and the length of
    the rest.

    Args:
        flight: the block, measured by the client.
        settings: the link; no drift, no rotation, no launch noise.
        channels: for X and for P frames, scalars.
        quadratures: bool `(inputs, rows)`.
        reference_gain: gain of the residual.
        scratch: room for intermediate values.
    """
    block, law = flight.block, flight.law
    back = channels[0].amplitude.item()
    white_x, white_p = (channel.white_variance.item() for channel in channels)
    beta = back * law.beta_x.item()
    spread = white_x + max(back**2 * law.excess_x.item() - beta**2, 0.0)
    spread_p = white_p + back**2 * law.excess_p.item()
    frames_x, energy, cc, cb, bb = _x_frame_sums(flight, quadratures, scratch)
    frames_p = block.inputs - frames_x
    cb, bb = beta * cb, beta**2 * bb

    few = flight.streams.few
    s, z = spread**0.5, few.standard_normal((3, block.rows))
    root_cc = np.sqrt(cc)
    along = np.divide(cb, root_cc, out=np.zeros_like(cb), where=root_cc > 0)
    across = np.sqrt(np.maximum(bb - along**2, 0.0))
    z[0] *= frames_x >= 1
    z[1] *= frames_x >= 2
    sum_ct = cb + s * root_cc * z[0]
    sum_tt = bb + 2 * s * (along * z[0] + across * z[1])
    sum_tt += spread * (z[0] ** 2 + z[1] ** 2 + _chi_square(few, frames_x - 2))
    degrees = frames_x * (block.modes - 1)
    z[2] *= degrees >= 1
    sum_me = sum_ct + np.sqrt(white_x * np.maximum(energy - cc, 0.0)) * z[2]
    sum_ee = sum_tt + white_x * (z[2] ** 2 + _chi_square(few, degrees - 1))
    gain = back * flight.share(settings)
    off = gain - reference_gain
    residual_p = spread_p * _chi_square(few, frames_p)
    residual_p += white_p * _chi_square(few, frames_p * (block.modes - 1))
    zero = np.zeros(block.rows)
    frames = np.stack([frames_x, frames_p])
    energies = np.stack([off**2 * energy + 2 * off * sum_me + sum_ee, residual_p])
    return ReturnSummary(
        frames=torch.from_numpy(frames),
        reference_gain=reference_gain,
        mean_energy_snu=_pair(energy, zero),
        projection_snu=_pair(gain * energy + sum_me, zero),
        residual_energy_snu=torch.from_numpy(energies),
        rails=_pair(zero, zero),
        modes=block.modes,
        residual_fourth_snu=fourth_sums(flight, channels[0], frames, energies),
    )


def fourth_sums(flight: Flight, channel: ReturnChannel, frames: Array, energies: Array) -> Tensor:
    """Sums of fourth powers of the deviations, given the sums of their squares.

    For n deviations that are one Gaussian vector the kurtosis n sum d^4/(sum d^2)^2 does not depend
    on the sum of squares: it is that of a point on the sphere, mean 3 n/(n + 2), variance
    24 n^2 (n - 1)/((n + 2)^2 (n + 4) (n + 6)), and is drawn with these and with the skewness of
    Anscombe and Glynn, Biometrika 70, 227 (1983). Noise along the data makes modes unequal, which
    adds 3 times the relative variance of their variances.

    Args:
        flight: the block.
        channel: its return.
        frames: per quadrature and row, `(2, rows)`.
        energies: sums of squares, likewise.
    """
    n = np.maximum(frames * flight.block.modes, 8.0)
    mean = 3 * n / (n + 2) + _unequal_modes(flight, channel)
    deviation = n / (n + 2) * np.sqrt(24 * (n - 1) / ((n + 4) * (n + 6)))
    skewness = 6 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9))
    skewness *= np.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    shape = 4 / skewness**2
    draws = (flight.streams.fourth.standard_gamma(shape) - shape) / np.sqrt(shape)
    kurtosis = mean + deviation * draws
    return torch.from_numpy(kurtosis * energies**2 / n * (frames > 0))


def _unequal_modes(flight: Flight, channel: ReturnChannel) -> float:
    """Excess kurtosis from the data mode's noise: 3 ell^2 (mean sum x^4/N - 1/N^2)/v^2."""
    law, modes = flight.law, flight.block.modes
    back = float(channel.amplitude.square().mean())
    on_p = float(law.excess_p.mean())
    if flight.overlap_p is not None:
        # What a receiver keeps of displaced P differs from frame to frame like noise.
        kept = float((law.return_pp - law.other_modes).square().mean())
        on_p += kept * float(flight.overlap_p.square().mean())
    excess = back * max(float(law.excess_x.mean()), on_p)
    if not excess:
        return 0.0
    some = flight.data[:_SOME_INPUTS]
    crowded = float(some.abs().square_().square_().sum(-1).mean())
    variance = float(channel.white_variance.mean()) + excess / modes
    return 3 * (excess / variance) ** 2 * max(crowded / modes - modes**-2, 0.0)


def _x_frame_sums(flight: Flight, quadratures: Tensor, scratch: Scratch) -> tuple[Array, ...]:
    """Sums over the X frames, per row: frames, m^2, c^2, c u and u^2.

    c are the overlaps of mean and data, u the noise of the outcome.
    """
    overlap, noise = flight.overlap_x, flight.outcome_noise
    inputs, rows = overlap.shape
    # A norm needs no memory for the squares.
    energies = torch.linalg.vector_norm(flight.means, dim=-1).square_()
    sums = torch.zeros((4, rows), dtype=torch.float64, device=overlap.device)
    energy = torch.zeros(rows, dtype=torch.float64, device=overlap.device)
    # Pieces that stay in the processor's cache: the sums are bound by memory otherwise.
    step = min(inputs, max(1, _SUM_VALUES // rows))
    room = scratch.take(4, step, rows)
    for start in range(0, inputs, step):
        part = slice(start, start + step)
        piece = room[:, : len(overlap[part])]
        on_x, c, u, cu = piece
        # Bytes of 0 and 1 become numbers faster than Booleans do.
        on_x.copy_((~quadratures[part]).view(torch.uint8))
        if len(energies) > 1:
            energy += torch.mul(on_x, energies[part], out=cu).sum(0)
        torch.mul(on_x, overlap[part], out=c)
        torch.mul(on_x, noise[part], out=u)
        torch.mul(c, u, out=cu)
        c.square_()
        u.square_()
        sums += piece.sum(1)
    if len(energies) == 1:
        energy = sums[0] * energies[0]
    frames, cc, uu, cu = sums.cpu().numpy()
    return frames, energy.cpu().numpy(), cc, cu, uu


def _chi_square(few: np.random.Generator, degrees: Array) -> Array:
    """Chi-square numbers; 0 where there is no degree of freedom."""
    return 2 * few.standard_gamma(np.maximum(degrees, 0) / 2)


def chi_square_frames(flight: Flight, degrees: int) -> Tensor:
    """Chi-square numbers of one number of degrees, one per frame."""
    block = flight.block
    shape = (block.inputs, block.rows)
    draws = flight.streams.few.standard_gamma(degrees / 2, size=shape, dtype=np.float32)
    return torch.from_numpy(draws).mul_(2).to(flight.means.device)


def _pair(on_x: Array, on_p: Array) -> Tensor:
    return torch.from_numpy(np.stack([on_x, on_p]))
