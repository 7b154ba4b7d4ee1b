"""Definite-length blocks of IEEE 488.2: `#`, one digit, so many digits of a byte count, the bytes.

The count decides, never an end mark: data may hold any byte. Memory is asked for only after the
count was found sensible.
"""

import numpy as np
from numpy.typing import NDArray

from drivers.transports.reader import Reader, garbled

__all__ = ["A_BLOCK", "LARGEST_BLOCK", "begins_block", "block_header", "read_block"]

A_BLOCK = "a block that begins with # and a digit from 1 to 9"
"""What is expected, for messages."""

LARGEST_BLOCK = 1 << 31
"""Largest block in bytes that is believed."""
_HASH = ord("#")


def block_header(count: int) -> bytes:
    """The header of a block of so many bytes.

    Args:
        count: 0 to 999 999 999.
    """
    digits = str(count)
    if not 0 < len(digits) < 10:
        raise ValueError(f"a block of {count} bytes has no header of one length digit")
    return f"#{len(digits)}{digits}".encode()


def begins_block(reader: Reader) -> bool:
    """Whether the answer begins as a block does; reads nothing of it.

    Raises:
        LinkTimeoutError: no answer came.
    """
    return reader.first() == _HASH


def read_block(
    reader: Reader,
    *,
    end: bytes = b"\n",
    largest: int = LARGEST_BLOCK,
    into: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Read a block into one buffer.

    Args:
        reader: of the exchange.
        end: what follows the block; it must be there.
        largest: most bytes that are accepted.
        into: where to put them if they fit, contiguous, uint8, shape (m,).

    Returns:
        The bytes, uint8, shape (n,), writable: a part of `into`, or the caller's own.

    Raises:
        AnswerError: no block, an indefinite one (`#0`), a count that is too large, or another end.
        LinkTimeoutError: fewer bytes came than were announced.
    """
    head = reader.exactly(2)
    if head[0] != _HASH or not 0x31 <= head[1] <= 0x39:
        raise garbled(A_BLOCK, head + reader.left)
    digits = reader.exactly(head[1] - 0x30)
    if not digits.isdigit():
        raise garbled("the byte count of a block", head + digits)
    count = int(digits)
    if count > largest:
        raise garbled(f"a block of at most {largest} bytes, not {count}", head + digits)
    if into is not None and count <= into.size:
        data = into[:count]
    else:
        data = np.empty(count, dtype=np.uint8)
    reader.into(data.data)
    if end:
        mark = reader.exactly(len(end))
        if mark != end:
            raise garbled(f"{end!r} behind a block of {count} bytes", mark)
    return data
