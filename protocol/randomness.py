"""Choices that the other party must not foresee: which quadrature of the return is measured."""

import hashlib
import os
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["OperatingSystemBits", "RandomBits", "SeededBits"]

_FAIR = 0.5
_NUMBER_BYTES = 4
"""Of the numbers that a coin which is not fair is made from."""


class RandomBits(Protocol):
    """A source of coin flips, fair ones or others."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""

    def flips(self, key: str, inputs: int, rows: int, p_share: float = _FAIR) -> Tensor:
        """Bool `(inputs, rows)`; a reproducible source repeats them for the same key and order.

        Args:
            key: of a reproducible source.
            inputs: data vectors.
            rows: weight rows.
            p_share: probability of True in (0, 1), exact to 2^-32.
        """


class OperatingSystemBits:
    """Flips from the operating system's generator: the only choice on real light."""

    seed: int | None = None

    def flips(
        self,
        key: str,  # noqa: ARG002 - no state
        inputs: int,
        rows: int,
        p_share: float = _FAIR,
    ) -> Tensor:
        """See `RandomBits.flips`."""
        if p_share == _FAIR:
            raw = np.frombuffer(os.urandom((inputs * rows + 7) // 8), np.uint8)
            return _unpack(raw, inputs, rows)
        raw = np.frombuffer(os.urandom(_NUMBER_BYTES * inputs * rows), np.uint8)
        return _below(raw.reshape(inputs, -1), p_share)


class SeededBits:
    """Flips that repeat, for simulation alone; independent of how inputs are cut into blocks."""

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed
        self._generators: dict[str, np.random.Generator] = {}

    def flips(self, key: str, inputs: int, rows: int, p_share: float = _FAIR) -> Tensor:
        """See `RandomBits.flips`."""
        if key not in self._generators:
            text = f"quadratures {self.seed} {key}".encode()
            number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            self._generators[key] = np.random.Generator(np.random.SFC64(number))
        # Whole bytes per input, so that any cut between inputs reads the same bytes.
        fair = p_share == _FAIR
        width = (rows + 7) // 8 if fair else _NUMBER_BYTES * rows
        raw = self._generators[key].bytes(inputs * ((width + 7) // 8 * 8))
        per_input = np.frombuffer(raw, np.uint8).reshape(inputs, -1)[:, :width]
        if not fair:
            return _below(per_input, p_share)
        bits = np.unpackbits(per_input, axis=1, count=rows)
        return torch.from_numpy(bits.astype(np.bool_))


def _unpack(raw: np.ndarray[tuple[int], np.dtype[np.uint8]], inputs: int, rows: int) -> Tensor:
    bits = np.unpackbits(raw, count=inputs * rows).view(np.bool_)
    return torch.from_numpy(bits.reshape(inputs, rows))


def _below(raw: np.ndarray[tuple[int, int], np.dtype[np.uint8]], p_share: float) -> Tensor:
    """True with the probability `p_share`, from rows of random bytes."""
    numbers = np.ascontiguousarray(raw).view(np.uint32)
    return torch.from_numpy(numbers < np.uint64(round(p_share * 2**32)))
