"""Draws of the tests' sums for many blocks at once, exact in distribution, no modes behind them.

In every group of coordinates with one law (gain g, variance v, K coordinates, mean energy E) the
regression takes one coordinate, the others are one chi-square:

    projection   g E + sqrt(v E) z
    residual     v (chi^2(K - 1) + (z + (g - g0) sqrt(E / v))^2),      z ~ N(0, 1)

with g0 the reference gain. Groups: all modes, the data mode of every frame, modes that are hit.
The mean energy is shared evenly over the modes, so the groups' shares are exact for a layer of one
magnitude and hold on average for any other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from sim_backend.adversaries.light import ReturnedLight

__all__ = ["BlockShape", "BlockStatistics", "draw_blocks"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """What one block tests; the same number of frames in X and in P.

    Args:
        rows: weight rows.
        frames: frames per row and quadrature.
        modes: modes per frame.
        photons_per_symbol: mu at launch, real encoding: mean energy 4 mu per mode, on X alone.
        reference_gain: gain of the residual.

    Raises:
        ConfigurationError: a value out of range.
    """

    rows: int = 1
    frames: int = 1
    modes: int
    photons_per_symbol: float
    reference_gain: float = 1.0

    def __post_init__(self) -> None:
        if min(self.rows, self.frames) < 1 or self.modes < 2:
            raise ConfigurationError(
                f"block of {self.rows} rows, {self.frames} frames and {self.modes} modes: it needs "
                "at least 1 row, 1 frame and 2 modes"
            )
        if not self.photons_per_symbol >= 0:
            raise ConfigurationError(
                f"photons_per_symbol is {self.photons_per_symbol}, it must be at least 0"
            )

    @property
    def symbols(self) -> int:
        """Modes that are tested in one quadrature."""
        return self.rows * self.frames * self.modes

    @property
    def row_energy_snu(self) -> float:
        """Mean energy of one row's X frames."""
        return 4 * self.photons_per_symbol * self.frames * self.modes


@dataclass(frozen=True, kw_only=True)
class BlockStatistics:
    """Sums of many blocks, each array `(blocks, rows)`.

    Args:
        shape: what a block tests.
        projection_snu: sum of mean times value over the X frames.
        residual_x_snu: sum of squared deviations over the X frames.
        residual_p_snu: likewise over the P frames.
    """

    shape: BlockShape
    projection_snu: Array
    residual_x_snu: Array
    residual_p_snu: Array


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Coordinates of one law; `count` per row, a number or one per block and row."""

    count: float | Array
    gain: float
    variance_x: float
    variance_p: float


def draw_blocks(
    light: ReturnedLight, shape: BlockShape, blocks: int, random: np.random.Generator
) -> BlockStatistics:
    """The sums of `blocks` blocks of returned light.

    Args:
        light: its law.
        shape: of every block.
        blocks: how many.
        random: source of the draws.

    Raises:
        ConfigurationError: clipped light has no such sums, or more modes are hit than there are.
    """
    if light.clips or light.offset_snu:
        raise ConfigurationError("clipped or displaced light has to be drawn symbol by symbol")
    size = (blocks, shape.rows)
    projection, residual_x, residual_p = np.zeros(size), np.zeros(size), np.zeros(size)
    energy_per_mode = 4 * shape.photons_per_symbol
    for group in _groups(light, shape, size, random):
        energy = energy_per_mode * group.count
        offset = (group.gain - shape.reference_gain) * np.sqrt(energy / group.variance_x)
        normal = random.standard_normal(size)
        alive = np.asarray(group.count) > 0
        residual_x += (
            group.variance_x * _chi_square(random, np.asarray(group.count) - 1, size)
            + group.variance_x * (normal + offset) ** 2 * alive
        )
        projection += group.gain * energy + np.sqrt(group.variance_x * energy) * normal
        # P frames have random numbers, and random hits, of their own.
    for group in _groups(light, shape, size, random):
        residual_p += group.variance_p * _chi_square(random, np.asarray(group.count), size)
    return BlockStatistics(
        shape=shape,
        projection_snu=projection,
        residual_x_snu=residual_x,
        residual_p_snu=residual_p,
    )


def _groups(
    light: ReturnedLight, shape: BlockShape, size: tuple[int, int], random: np.random.Generator
) -> list[_Group]:
    """All coordinates of one quadrature's frames of a row."""
    frames, others = shape.frames, shape.frames * (shape.modes - 1)
    x, p = light.variance_x_snu, light.variance_p_snu
    excess_x, excess_p = light.data_mode_excess_x_snu, light.data_mode_excess_p_snu
    hit = light.hit
    if hit is None:
        return [
            _Group(count=others, gain=light.gain, variance_x=x, variance_p=p),
            _Group(count=frames, gain=light.gain, variance_x=x + excess_x, variance_p=p + excess_p),
        ]
    if hit.modes_per_frame >= shape.modes:
        raise ConfigurationError(
            f"{hit.modes_per_frame} modes of a frame are hit, it has {shape.modes}"
        )
    # A fixed number of hit modes lies beside the data mode; random hits strike it as well.
    taken: float | Array = float(frames * hit.modes_per_frame)
    both: float | Array = 0.0
    if hit.share:
        taken = random.binomial(others, hit.share, size).astype(np.float64)
        both = random.binomial(frames, hit.share, size).astype(np.float64)
    hit_x, hit_p = x + hit.added_x_snu, p + hit.added_p_snu
    laws = (
        (others - taken, light.gain, x, p),
        (frames - both, light.gain, x + excess_x, p + excess_p),
        (taken, hit.gain, hit_x, hit_p),
        (both, hit.gain, hit_x + excess_x, hit_p + excess_p),
    )
    return [
        _Group(count=count, gain=gain, variance_x=on_x, variance_p=on_p)
        for count, gain, on_x, on_p in laws
        if np.any(count)
    ]


def _chi_square(random: np.random.Generator, degrees: Array, size: tuple[int, int]) -> Array:
    """Chi-square numbers; 0 where there is no degree of freedom."""
    draws: Array = 2 * random.standard_gamma(np.maximum(degrees, 0) / 2, size=size)
    return draws
