"""Bytes and lines to a session and back without any driver, and rubbish to feed to it."""

from collections.abc import Iterator, Sequence

import numpy as np

from sim_backend.wire.session import Session

__all__ = ["ask", "babble", "hear", "rubbish"]


def hear(session: Session, data: bytes) -> bytes:
    """What a session answers at once."""
    session.feed(data)
    return session.take()


def ask(session: Session, text: str) -> bytes:
    """What a session answers at once to a line."""
    return hear(session, text.encode() + b"\n")


def babble(session: Session, words: Sequence[bytes], count: int, *, seed: int) -> None:
    """Feed words in any order, with random bytes between them and ends of lines left out.

    Args:
        session: of a twin, which has to survive it.
        words: pieces of good messages.
        count: how many times to feed.
        seed: makes them repeat.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        picked = b"".join(words[int(i)] for i in rng.integers(0, len(words), rng.integers(1, 5)))
        if rng.random() < 0.2:
            picked += bytes(rng.integers(0, 256, 4, dtype=np.uint8).tolist())
        hear(session, picked + (b"\n" if rng.random() < 0.7 else b""))


def rubbish(samples: Sequence[bytes], count: int, *, seed: int) -> Iterator[bytes]:
    """Random bytes, and samples with bytes changed, left out or put in.

    Args:
        samples: good messages of the instrument.
        count: how many to make.
        seed: makes them repeat.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        if rng.random() < 0.3:
            yield rng.integers(0, 256, int(rng.integers(0, 12)), dtype=np.uint8).tobytes()
            continue
        message = bytearray(samples[int(rng.integers(len(samples)))])
        for _ in range(int(rng.integers(0, 4))):
            place = int(rng.integers(len(message) + 1))
            kind = int(rng.integers(3))
            if kind == 0:
                message.insert(place, int(rng.integers(256)))
            elif place < len(message) and kind == 1:
                message[place] = int(rng.integers(256))
            elif place < len(message):
                del message[place]
        yield bytes(message)
