"""The photons of one layer in the server's ledger, and how they move between its accounts."""

import numpy as np
from numpy.typing import NDArray

from protocol.ledger.light import LightChannel, Photons, RowLight

__all__ = ["LayerPhotons"]


class LayerPhotons:
    """Light of one layer's rows.

    Light of entries that do not tell how it was received (of older files) is kept apart. It gets
    the channel of the first debit that tells one.

    Attributes:
        channel: of the first debit that told one; None before.

    Args:
        rows: of the layer.
    """

    def __init__(self, rows: int) -> None:
        self.channel: LightChannel | None = None
        self._unverified = np.zeros(rows)
        # Photons and their sums of T v, T v e_x and T v e_p; copies and their sums of e_x and e_p.
        self._verified = np.zeros((7, rows))
        self._untold = np.zeros(rows)
        # Photons subtracted again may leave 1e-17; a row that owes nothing is exactly zero.
        self._open_blocks = np.zeros(rows, dtype=np.int64)
        self._passed_blocks = np.zeros(rows, dtype=np.int64)
        self._untold_blocks = np.zeros(rows, dtype=np.int64)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self._unverified)

    @property
    def verified(self) -> Photons:
        """Photons per weight whose return passed, `(rows,)`; a copy."""
        return np.asarray(self._verified[0] + self._untold)

    @property
    def unverified(self) -> Photons:
        """All others; a copy."""
        return self._unverified.copy()

    @property
    def untold(self) -> Photons:
        """Verified photons of entries that do not tell how they came back; a copy."""
        return self._untold.copy()

    def light(self) -> RowLight:
        """All of it; untold light at the channel of the first debit that told one."""
        verified, returned, noise_x, noise_p, copies, copies_x, copies_p = self._verified
        so_far = RowLight(
            verified=verified + self._untold,
            unverified=self.unverified,
            returned=returned.copy(),
            noise_x=noise_x.copy(),
            noise_p=noise_p.copy(),
            copies=copies.copy(),
            copies_noise_x=copies_x.copy(),
            copies_noise_p=copies_p.copy(),
            unplaced=self.untold,
            encoding=None,
        )
        return so_far if self.channel is None else so_far.more(self.channel)

    def reserve(self, block: slice, photons: float, channel: LightChannel | None) -> None:
        """Add unverified photons of a block that is told to come back in a way, or is not."""
        if self.channel is None:
            self.channel = channel
        self._unverified[block] += photons
        self._open_blocks[block] += 1

    def verify(
        self, block: slice, photons: float, copies: int, channel: LightChannel | None
    ) -> None:
        """Move photons that were reserved for exactly this block to the verified ones."""
        if channel is None:
            self._untold[block] += photons
            self._untold_blocks[block] += 1
        else:
            self._verified[:, block] += _sums(photons, copies, channel)
            self._passed_blocks[block] += 1
        self._open_blocks[block] -= 1
        self._unverified[block] = _less(self._unverified[block], photons, self._open_blocks[block])

    def take_back(
        self, block: slice, photons: float, copies: int, channel: LightChannel | None
    ) -> None:
        """Move verified photons of exactly this block back to the unverified ones."""
        self._unverified[block] += photons
        self._open_blocks[block] += 1
        if channel is None:
            self._untold_blocks[block] -= 1
            self._untold[block] = _less(self._untold[block], photons, self._untold_blocks[block])
        else:
            self._passed_blocks[block] -= 1
            self._verified[:, block] = _less(
                self._verified[:, block],
                _sums(photons, copies, channel),
                self._passed_blocks[block],
            )


def _sums(photons: float, copies: int, channel: LightChannel) -> NDArray[np.float64]:
    returned = channel.transmittance * photons
    noises = np.array([1.0, channel.excess_noise_x_snu, channel.excess_noise_p_snu])
    return np.concatenate([[photons], returned * noises, copies * noises])[:, np.newaxis]


def _less(
    held: NDArray[np.float64], amount: float | NDArray[np.float64], blocks: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What is left of sums over blocks; exactly 0 where no block is."""
    return np.where(blocks > 0, np.maximum(held - amount, 0.0), 0.0)
