"""Numbers that the client must not foresee: how the weights of a query are disguised."""

import hashlib
import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from protocol.randomness import RandomBits

__all__ = ["OperatingSystemNumbers", "RandomNumbers", "SeededNumbers", "numbers_like"]

Array = NDArray[np.float64]


class RandomNumbers(Protocol):
    """A source of uniform numbers."""

    @property
    def seed(self) -> int | None:
        """The seed of a reproducible source, None for a source fit for secrets."""

    def uniform(self, key: str, count: int) -> Array:
        """Independent numbers in (0, 1), `(count,)`; a reproducible source repeats them by key."""


class OperatingSystemNumbers:
    """Numbers from the operating system's generator: the only choice on real light."""

    seed: int | None = None

    def uniform(self, key: str, count: int) -> Array:  # noqa: ARG002 - no state
        """See `RandomNumbers.uniform`."""
        raw = np.frombuffer(os.urandom(8 * count), np.uint64)
        # 53 bits, the middle of each step: never 0 and never 1.
        return np.asarray(((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


class SeededNumbers:
    """Numbers that repeat, for simulation alone."""

    def __init__(self, seed: int) -> None:
        self.seed: int | None = seed

    def uniform(self, key: str, count: int) -> Array:
        """See `RandomNumbers.uniform`."""
        text = f"disguise {self.seed} {key}".encode()
        number = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
        raw = np.random.Generator(np.random.SFC64(number)).integers(0, 1 << 53, count)
        return np.asarray((raw.astype(np.float64) + 0.5) * 2.0**-53)


def numbers_like(bits: RandomBits | None, simulated: bool) -> RandomNumbers:
    """The source that goes with a session's coin flips: seeded where these are.

    Args:
        bits: of the session's quadratures; None is the operating system.
        simulated: whether the light is.

    Raises:
        ConfigurationError: a seed on real light.
    """
    seed = None if bits is None else bits.seed
    if seed is None:
        return OperatingSystemNumbers()
    if not simulated:
        raise ConfigurationError(
            "a seed for the disguise of the weights is possible in simulation only: on real light "
            "the client could undo it"
        )
    return SeededNumbers(seed)
