"""Bytes and lines to a session and back without any driver, and rubbish to feed to it."""

import random
from collections.abc import Iterator, Sequence

import numpy as np

from sim_backend.wire.session import Session

__all__ = ["ask", "babble", "damaged_streams", "hear", "rubbish"]


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


def damaged_streams(
    messages: Sequence[bytes], source: random.Random, *, rubbish_share: float, first: int = 10_000
) -> Iterator[bytes]:
    """Ten thousand times random bytes, or some messages with bytes changed, lost or put in.

    Args:
        messages: good ones of a protocol.
        source: of all choices.
        rubbish_share: how often the bytes are random.
        first: damage is among so many bytes at the begin.
    """
    for _ in range(10_000):
        kind = source.random()
        if kind < rubbish_share:
            yield source.randbytes(source.randrange(1, 80))
            continue
        data = bytearray(b"".join(source.choices(messages, k=source.randrange(1, 4))))
        for _ in range(source.randrange(1, 5)):
            place = source.randrange(min(len(data), first))
            if kind < 0.8:
                data[place] = source.randrange(256)
            elif kind < 0.9 and len(data) > 1:
                del data[place]
            else:
                data.insert(place, source.randrange(256))
        yield bytes(data)
