"""Random numbers that do not depend on how a run is cut into batches.

Every stream has a key; the same seed and key give the same sequence, however it is taken.
"""

import hashlib
import math
import secrets

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor

__all__ = ["DriftStream", "NormalStream", "StreamFactory"]

CHUNK = 1 << 15
"""Normals drawn at a time. Fixed: torch's fill depends on the length that is asked for."""


class NormalStream:
    """Standard normal numbers, float32, drawn in chunks of one length."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._seed = seed
        self._device = device
        self._generator: torch.Generator | None = None
        self._rest = torch.empty(0, device=device)

    def take(self, *shape: int) -> Tensor:
        """The next numbers of the stream, as a tensor of `shape`."""
        if self._generator is None:  # most streams of a link are never used: start on demand
            self._generator = torch.Generator(device=self._device).manual_seed(self._seed)
        count = math.prod(shape)
        if count <= self._rest.numel():
            taken, self._rest = self._rest[:count], self._rest[count:]
            return taken.reshape(shape)
        out = torch.empty(count, device=self._device)
        done = self._rest.numel()
        out[:done] = self._rest
        while count - done >= CHUNK:
            torch.randn(CHUNK, generator=self._generator, out=out[done : done + CHUNK])
            done += CHUNK
        last = torch.randn(CHUNK, generator=self._generator, device=self._device)
        out[done:] = last[: count - done]
        self._rest = last[count - done :]
        return out.reshape(shape)


class DriftStream:
    """A stationary Ornstein-Uhlenbeck process, sampled once per step.

    x[k] = rho x[k-1] + sqrt(1 - rho^2) sigma w[k], rho = exp(-1/memory): Uhlenbeck and Ornstein,
    Phys. Rev. 36, 823 (1930), exact at the sampling times.
    """

    def __init__(self, normals: NormalStream, sigma: float, memory: float) -> None:
        self._normals = normals
        self._sigma = sigma
        self._rho = math.exp(-1 / memory) if memory > 0 else 0.0
        # sqrt(1 - rho^2), which does not cancel at long memories.
        self._innovation = math.sqrt(-math.expm1(-2 / memory)) if memory > 0 else 1.0
        self._last: float | None = None

    def take(self, *shape: int) -> Tensor:
        """The next values of the process, as a tensor of `shape`, last axis fastest."""
        white = self._normals.take(math.prod(shape))
        if self._rho == 0.0:
            return (self._sigma * white).reshape(shape)
        drive = white.cpu().numpy().astype(np.float64)
        # The first value is drawn from the steady state.
        drive[1 if self._last is None else 0 :] *= self._innovation
        self._last = self._last or 0.0
        values, _ = lfilter([1.0], [1.0, -self._rho], drive, zi=[self._rho * self._last])
        self._last = float(values[-1])
        return (
            torch.from_numpy((self._sigma * values).astype(np.float32))
            .to(white.device)
            .reshape(shape)
        )


class StreamFactory:
    """Makes streams from one seed and keys."""

    def __init__(self, seed: int | None, device: torch.device) -> None:
        self._seed = secrets.randbits(128) if seed is None else seed
        self._device = device

    def _derive(self, *key: object) -> int:
        text = repr((self._seed, *key)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1

    def normals(self, *key: object) -> NormalStream:
        """A stream of standard normal numbers for `key`."""
        return NormalStream(self._derive(*key), self._device)

    def numpy(self, *key: object) -> np.random.Generator:
        """A numpy generator for `key`: few numbers, or distributions that torch lacks."""
        return np.random.Generator(np.random.SFC64(self._derive(*key)))
