"""What a bench frames around the symbols of blocks: slots and bursts per sample."""

from dataclasses import dataclass

from drivers.errors import ConfigurationError
from drivers.optics.burst import BurstFormat, BurstLayout

__all__ = ["Frames"]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """How blocks become bursts.

    Attributes:
        format: of a burst.
        samples: of a batch.
        inputs: data vectors of a block; 0 for all of a batch.
        largest: points that the instruments hold.
    """

    format: BurstFormat
    samples: int
    inputs: int
    largest: int

    def per_sample(self, symbols: int, positions: int) -> tuple[float, float]:
        """Slots and bursts per sample.

        Args:
            symbols: data symbols of a data vector.
            positions: data vectors of a sample.
        """
        inputs = positions * self.samples
        full, rest = divmod(inputs, self.inputs or inputs)
        slots, bursts = self._of_block(symbols * (self.inputs or inputs))
        slots, bursts = slots * full, bursts * full
        if rest:
            last = self._of_block(symbols * rest)
            slots, bursts = slots + last[0], bursts + last[1]
        return slots / self.samples, bursts / self.samples

    def _of_block(self, total: int) -> tuple[int, int]:
        """Slots and bursts of a block with so many data symbols."""
        fits = self._fitting()
        full, rest = divmod(total, fits)
        slots = full * BurstLayout(format=self.format, data_symbols=fits).total_slots if full else 0
        if rest:
            slots += BurstLayout(format=self.format, data_symbols=rest).total_slots
        return slots, full + (rest > 0)

    def _fitting(self) -> int:
        """Most data symbols of one burst."""
        low, high = 0, self.largest
        while high - low > 1:
            middle = (low + high) // 2
            burst = BurstLayout(format=self.format, data_symbols=middle)
            low, high = (middle, high) if burst.total_samples <= self.largest else (low, middle)
        if low == 0:
            raise ConfigurationError(
                f"cost: {self.largest} samples hold no burst of this format; allow more"
            )
        return low
