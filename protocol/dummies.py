"""Batches of random vectors in the place of data: how they are made and committed to.

The client mixes them in at places that the server does not know, and says with a hash what a batch
is before its light. Opened, a seed gives both parties the same vectors, bit by bit, on any machine.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from protocol.plan import LayerPlan

__all__ = [
    "BatchKind",
    "BatchSecret",
    "batch_commitment",
    "dummy_vectors",
    "new_batch",
    "seeded_batch",
]

BatchKind: TypeAlias = Literal["data", "dummies", "probe"]
"""What a batch holds: data; dummies that may be opened; dummies by which the client measures P."""


@dataclass(frozen=True, kw_only=True)
class BatchSecret:
    """What the client alone knows of a batch until it opens it.

    Args:
        batch: what it is.
        seed: of the dummies, 32 hexadecimal digits; empty for data.
        nonce: keeps the commitment from being guessed.
    """

    batch: BatchKind
    seed: str
    nonce: str


def new_batch(batch: BatchKind) -> BatchSecret:
    """A batch with a fresh nonce and, for dummies, a fresh seed."""
    seed = "" if batch == "data" else secrets.token_hex(16)
    return BatchSecret(batch=batch, seed=seed, nonce=secrets.token_hex(16))


def seeded_batch(batch: BatchKind, seed: int, first_sample: int) -> BatchSecret:
    """A batch that repeats, for simulation alone."""
    texts = [
        hashlib.sha256(f"{seed} {first_sample} {what}".encode()).hexdigest()[:32]
        for what in ("seed", "nonce")
    ]
    return BatchSecret(batch=batch, seed="" if batch == "data" else texts[0], nonce=texts[1])


def batch_commitment(session: str, first_sample: int, batch: str, seed: str, nonce: str) -> str:
    """SHA-256 over what a batch is and where it stands, in hexadecimal.

    The seed counts for dummies alone: of a batch of probes it is never told.
    """
    told = seed if batch == "dummies" else ""
    text = "\n".join(("veilight batch 1", session, str(first_sample), batch, told, nonce))
    return hashlib.sha256(text.encode()).hexdigest()


def dummy_vectors(seed: str, layer: LayerPlan, inputs: int) -> Tensor:
    """Vectors of random signs, float32 `(inputs, entries)`.

    Their second moments are those of directions without preference, so that the mean energy that
    weights have along them is their energy over the number of modes, whatever the weights.

    Args:
        seed: of the batch.
        layer: whose vectors.
        inputs: how many.
    """
    count = inputs * layer.entries
    text = f"veilight dummies 1\n{seed}\n{layer.layer}".encode()
    raw = hashlib.shake_256(text).digest((count + 7) // 8)
    bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
    signs = bits.astype(np.float32).reshape(inputs, layer.entries) * 2 - 1
    return torch.from_numpy(signs)
