"""Bursts of a bench with parallel ports: which light every port carries in which slot.

Owns the patterns of preamble and pilots. A frame is one slot; its modes are the ports. A mesh may
send any direction of the ports' space to a detector, so that no single pattern of pilots is bright
there for all data: successive pilots run through the rows of a Hadamard matrix, each with a sign
of its own. Over one round the light along every unit vector has the same energy (Parseval).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from drivers.errors import ConfigurationError, OpticsError
from drivers.optics.burst import BurstLayout

__all__ = ["PortBurst"]

_LARGEST: Final = 64
_SHUFFLE_SEED: Final = 2408
"""Public; any number serves."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class PortBurst:
    """A burst in which every data slot is a frame over all ports.

    Args:
        layout: kinds of the slots; one data symbol per frame.
        ports: number of ports, a power of two from 2 to 64.

    Raises:
        ConfigurationError: there is no such pattern, or the pulse overlaps its neighbours.
    """

    layout: BurstLayout
    ports: int

    def __post_init__(self) -> None:
        if not 2 <= self.ports <= _LARGEST or self.ports & (self.ports - 1):
            raise ConfigurationError(
                f"burst: {self.ports} ports; pilots need a power of two from 2 to {_LARGEST}: "
                "leave ports dark"
            )
        if self.layout.format.pulse.span_slots != 1:
            raise ConfigurationError(
                f"burst: the {self.layout.format.pulse.name} pulse spans slots; frames of one slot "
                "need the hann pulse"
            )

    @cached_property
    def preamble(self) -> Floats:
        """Signs of the preamble's slots, shape (preamble_slots, ports).

        The last slots make whole rounds, each in an order of its own so that no frequency but the
        true one fits them.
        """
        slots = self.layout.format.preamble_slots
        rounds = -(-slots // self.ports)
        rng = np.random.default_rng(_SHUFFLE_SEED)
        order = np.concatenate([rng.permutation(self.ports) for _ in range(rounds)])
        return self._rows(order[rounds * self.ports - slots :], self.layout.format.preamble_signs)

    @cached_property
    def pilots(self) -> Floats:
        """Signs of the pilots, shape (pilots, ports); every round in the same order."""
        return self._rows(np.arange(self.layout.pilots.size) % self.ports, self.layout.pilot_signs)

    @property
    def preamble_rounds(self) -> int:
        """Whole rounds at the end of the preamble."""
        return self.layout.format.preamble_slots // self.ports

    @property
    def pilot_rounds(self) -> int:
        """Whole rounds of pilots, from the first on."""
        return self.layout.pilots.size // self.ports

    def compose(self, means: NDArray[np.floating], pilot_amplitude: float) -> Floats:
        """Waveforms of all ports: relative field amplitude, sample by sample.

        Args:
            means: amplitude of every frame and port, shape (frames, ports), in the unit of
                `pilot_amplitude`.
            pilot_amplitude: of every port in preamble and pilots.

        Returns:
            Samples, shape (ports, samples).

        Raises:
            OpticsError: wrong shape, or a value that is not finite.
        """
        wanted = (self.layout.data_symbols, self.ports)
        if means.shape != wanted or not np.isfinite(means).all():
            raise OpticsError(
                f"burst: means have the shape {means.shape} or are not finite; expected {wanted}"
            )
        slots = np.zeros((self.layout.total_slots, self.ports), dtype=np.float32)
        slots[self.layout.preamble] = np.float32(pilot_amplitude) * self.preamble
        slots[self.layout.pilots] = np.float32(pilot_amplitude) * self.pilots
        slots[self.layout.data] = means
        samples = slots.T[:, :, None] * self.layout.format.pulse.taps
        return np.ascontiguousarray(samples.reshape(self.ports, -1))

    def _rows(self, order: NDArray[np.intp], signs: Floats) -> Floats:
        patterns = hadamard(self.ports).astype(np.float32)
        return np.asarray(patterns[order] * signs[:, None], dtype=np.float32)
