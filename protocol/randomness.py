"""Choices that the other party must not foresee: which quadrature of the return is measured."""

import hashlib
import os
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["OperatingSystemBits", "RandomBits", "SeededBits"]


class RandomBits(Protocol):
    """A source of fair coin flips."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for security."""

    def flips(self, key: str, inputs: int, rows: int) -> Tensor:
        """Bool `(inputs, rows)`; a reproducible source repeats them for the same key and order."""


class OperatingSystemBits:
    """Flips from the operating system's generator: the only choice on real light."""

    seed: int | None = None

    def flips(self, key: str, inputs: int, rows: int) -> Tensor:  # noqa: ARG002 - no state
        """See `RandomBits.flips`."""
        return _unpack(np.frombuffer(os.urandom((inputs * rows + 7) // 8), np.uint8), inputs, rows)


class SeededBits:
    """Flips that repeat, for simulation alone; independent of how inputs are cut into blocks."""

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed
        self._generators: dict[str, np.random.Generator] = {}

    def flips(self, key: str, inputs: int, rows: int) -> Tensor:
        """See `RandomBits.flips`."""
        if key not in self._generators:
            text = f"quadratures {self.seed} {key}".encode()
            number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
            self._generators[key] = np.random.Generator(np.random.SFC64(number))
        # Whole bytes per input, so that any cut between inputs reads the same bytes.
        width = (rows + 7) // 8
        raw = self._generators[key].bytes(inputs * ((width + 7) // 8 * 8))
        per_input = np.frombuffer(raw, np.uint8).reshape(inputs, -1)[:, :width]
        bits = np.unpackbits(per_input, axis=1, count=rows)
        return torch.from_numpy(bits.astype(np.bool_))


def _unpack(raw: np.ndarray[tuple[int], np.dtype[np.uint8]], inputs: int, rows: int) -> Tensor:
    bits = np.unpackbits(raw, count=inputs * rows).view(np.bool_)
    return torch.from_numpy(bits.reshape(inputs, rows))
