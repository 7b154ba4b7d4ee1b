"""Draws of the returned light, every mode of every frame."""

import torch
from torch import Tensor

from drivers.backend import ReturnProjection, ReturnSummary
from drivers.return_summary import add_projections, add_summaries, project_return, summarise
from sim_backend.flight import Flight, ReturnChannel
from sim_backend.settings import LinkSettings

__all__ = ["Quantiser", "draw_modes", "projection_from_modes", "summary_from_modes"]

_VALUES_PER_CHUNK = 1 << 22


class Quantiser:
    """An ideal digitiser: clips at its range, rounds to its codes; a step of 0 switches it off."""

    def __init__(self, range_snu: float, step_snu: float) -> None:
        self.range_snu = range_snu if step_snu else float("inf")
        self.step_snu = step_snu

    def __call__(self, values: Tensor) -> Tensor:
        """Recorded values for analogue `values`."""
        if not self.step_snu:
            return values
        codes = torch.round(values / self.step_snu) * self.step_snu
        return codes.clamp_(-self.range_snu, self.range_snu - self.step_snu)


def draw_modes(
    flight: Flight, settings: LinkSettings, channel: ReturnChannel, start: int, stop: int
) -> Tensor:
    """Recorded quadrature of every mode of inputs `start` to `stop`, before the digitiser.

    Inputs must be drawn in order. Returns `(stop - start, rows, modes)`.
    """
    return _ModeDraw(flight, settings, channel).draw(start, stop)


def summary_from_modes(
    flight: Flight,
    settings: LinkSettings,
    channel: ReturnChannel,
    quadratures: Tensor,
    reference_gain: float,
    quantiser: Quantiser,
) -> ReturnSummary:
    """The summary of every mode, in chunks of inputs: exact for any light and digitiser."""
    block = flight.block
    step = max(1, _VALUES_PER_CHUNK // (block.rows * block.modes))
    draw = _ModeDraw(flight, settings, channel)
    parts = []
    for start in range(0, block.inputs, step):
        stop = min(start + step, block.inputs)
        means = flight.means if flight.means.shape[0] == 1 else flight.means[start:stop]
        parts.append(
            summarise(
                quantiser(draw.draw(start, stop)),
                quadratures[start:stop],
                means,
                reference_gain,
                quantiser.range_snu,
                quantiser.step_snu,
            )
        )
    return add_summaries(parts)


def projection_from_modes(
    flight: Flight,
    settings: LinkSettings,
    channel: ReturnChannel,
    quadratures: Tensor,
    data: Tensor,
    reference_gain: float,
    quantiser: Quantiser,
) -> ReturnProjection:
    """A block along opened data vectors, drawn from its law mode by mode.

    The draw is a new one: right by itself and with the client's outcomes, but independent of the
    white noise in a summary that was drawn before.
    """
    block = flight.block
    step = max(1, _VALUES_PER_CHUNK // (block.rows * block.modes))
    draw = _ModeDraw(flight, settings, channel)
    parts = []
    for start in range(0, block.inputs, step):
        some = slice(start, min(start + step, block.inputs))
        means = flight.means if flight.means.shape[0] == 1 else flight.means[some]
        values = quantiser(draw.draw(some.start, some.stop))
        parts.append(project_return(values, quadratures[some], means, data[some], reference_gain))
    return add_projections(parts)


class _ModeDraw:
    """All per-frame coefficients of a block, from which chunks of inputs are drawn."""

    def __init__(self, flight: Flight, settings: LinkSettings, channel: ReturnChannel) -> None:
        self._flight, self._settings, self._channel = flight, settings, channel
        self._partner = flight.partner(settings)
        share = self._share = flight.share(settings)
        x, p = flight.data_mode()
        noise_x, noise_p = flight.data_mode_noise()
        zero = torch.zeros((1, 1), device=x.device)
        plain_p = zero if flight.overlap_p is None else share * flight.overlap_p
        # What the data mode carries beyond its share of the mean of all modes.
        self._x = x + noise_x - share * flight.overlap_x
        self._p = p + noise_p - plain_p
        if self._partner is not None:
            other, angle = self._partner
            side_x, side_p = flight.overlap(other)
            self._x, self._side_x = _turn(self._x, share * flight.overlap_x, share * side_x, angle)
            self._p, self._side_p = _turn(
                self._p, plain_p, zero if side_p is None else share * side_p, angle
            )

    def draw(self, start: int, stop: int) -> Tensor:
        flight, block, channel = self._flight, self._flight.block, self._channel
        rows = slice(start, stop)
        values = flight.streams.modes.take(stop - start, block.rows, block.modes)
        white = _part(channel.white_variance, rows).sqrt()
        if white.numel() > 1:
            values *= white[..., None]
        elif white.item() != 1:
            values *= white.item()
        if self._settings.excess_noise_snu:
            values += self._technical(rows)
        if channel.hit_share:
            values += self._hits(rows)
        weight_x = _part(channel.amplitude * channel.weight_x, rows)
        weight_p = _part(channel.amplitude * channel.weight_p, rows)
        means = flight.means if flight.means.shape[0] == 1 else flight.means[rows]
        if means.is_complex():
            values.addcmul_(means.real, (self._share * weight_x)[..., None])
            values.addcmul_(means.imag, (self._share * weight_p)[..., None])
        else:
            values.addcmul_(means, (self._share * weight_x)[..., None])
        x, p = _part(self._x, rows), _part(self._p, rows)
        _add_outer(values, x, p, weight_x, weight_p, flight.data[rows])
        if self._partner is not None:
            x, p = _part(self._side_x, rows), _part(self._side_p, rows)
            _add_outer(values, x, p, weight_x, weight_p, self._partner[0][rows])
        return values

    def _hits(self, rows: slice) -> Tensor:
        """Noise in the symbols that the client has picked, each by itself."""
        channel, shape = self._channel, (rows.stop - rows.start, self._flight.block.rows)
        draws = self._flight.streams.hit_modes.take(*shape, self._flight.block.modes, 2)
        # A normal number below a quantile picks with that probability.
        picked = draws[..., 1] < torch.special.ndtri(torch.tensor(channel.hit_share))
        noise = draws[..., 0] * _part(channel.hit_variance, rows).sqrt()[..., None]
        return torch.where(picked, noise, 0.0)

    def _technical(self, rows: slice) -> Tensor:
        """Launch noise of all modes but the data's, which carries its own since the outcome."""
        flight, block, channel = self._flight, self._flight.block, self._channel
        data = flight.data[rows]
        if self._partner is not None:
            other, angle = self._partner[0][rows], self._partner[1][rows]
            data = torch.cos(angle) * data + torch.sin(angle) * other
        shape = (data.shape[0], block.rows, block.modes)
        std = _part(channel.technical_variance, rows).sqrt()[..., None]
        take = flight.streams.technical_modes.take
        if not flight.complex_light:
            noise = take(*shape)
            along = torch.matmul(noise, data[:, :, None])
            return std * (noise - along * data[:, None, :])
        pairs = take(*shape, 2)
        noise_c = torch.complex(pairs[..., 0], pairs[..., 1])
        data = data.to(torch.complex64)
        along = torch.matmul(noise_c, data.conj()[:, :, None])
        noise_c = noise_c - along * data[:, None, :]
        weight_x, weight_p = _part(channel.weight_x, rows), _part(channel.weight_p, rows)
        return std * (weight_x[..., None] * noise_c.real + weight_p[..., None] * noise_c.imag)


def _turn(deviation: Tensor, data: Tensor, side: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Deviations along the data mode and its partner after a rotation in their plane."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    full = data + deviation
    return cos * full - sin * side - data, sin * full + cos * side - side


def _add_outer(
    values: Tensor, x: Tensor, p: Tensor, weight_x: Tensor, weight_p: Tensor, mode: Tensor
) -> None:
    """Add Re(conj(weight) (x + i p) mode) to every frame, mode by mode."""
    real = weight_x * x + weight_p * p
    if not mode.is_complex():
        if bool(real.any()):
            values.addcmul_(real[..., None], mode[:, None, :])
        return
    imaginary = weight_x * p - weight_p * x
    values.addcmul_(real[..., None], mode.real[:, None, :])
    values.addcmul_(imaginary[..., None], mode.imag[:, None, :], value=-1)


def _part(values: Tensor, rows: slice) -> Tensor:
    """Inputs `rows` of a tensor that broadcasts to (inputs, rows)."""
    return values if values.shape[0] == 1 else values[rows]
