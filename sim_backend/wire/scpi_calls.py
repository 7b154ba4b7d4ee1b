"""What a command of SCPI is to a twin: its arguments, its answer, and the errors it may cause."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Answer", "Call", "Complaint", "ErrorQueue", "Handler", "Later", "block"]

_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z/%]*)")
_EVENT_BITS = {1: 32, 2: 16, 3: 8, 4: 4}
"""Bits of the standard event register by the hundreds of a negative error number."""


class Complaint(Exception):  # noqa: N818 - what an instrument says, not a fault of the program
    """An error that goes into the queue; the command does nothing.

    Args:
        number: as in SCPI, such as -222.
        text: as the instrument words it.
    """

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number},{text}")
        self.number = number
        self.text = text


@dataclass(frozen=True, kw_only=True)
class Call:
    """A command as it came.

    Args:
        suffixes: numeric suffixes of the pattern's `#`, in its order; 1 where left out.
        arguments: between the commas, stripped; quotes are kept.
        block: the bytes of a block argument, which is the last one; None without.
    """

    suffixes: tuple[int, ...] = ()
    arguments: tuple[str, ...] = ()
    block: bytes | None = None

    def argument(self, index: int = 0) -> str:
        """An argument; a missing one is the error -109."""
        if index >= len(self.arguments) or not self.arguments[index]:
            raise Complaint(-109, "Missing parameter")
        return self.arguments[index]

    def word(self, known: Mapping[str, str], index: int = 0) -> str:
        """An argument that is one of some words, in long or short form; -224 for others.

        Args:
            known: by the word as in `IMMediate`, what is returned.
            index: which argument.
        """
        said = self.argument(index).upper()
        for word, meaning in known.items():
            if said in (word.upper(), "".join(c for c in word if not c.islower()).upper()):
                return meaning
        raise Complaint(-224, "Illegal parameter value")

    def flag(self, index: int = 0) -> bool:
        """An argument that is ON, OFF, 1 or 0."""
        said = self.argument(index).upper()
        if said in ("ON", "1"):
            return True
        if said in ("OFF", "0"):
            return False
        raise Complaint(-224, "Illegal parameter value")

    def number(self, units: Mapping[str, float] | None = None, index: int = 0) -> float:
        """A finite number, with a unit where there is one.

        Args:
            units: factor by unit in capitals; "" for none. Without: no unit is allowed.
            index: which argument.
        """
        found = _NUMBER.fullmatch(self.argument(index))
        if found is None:
            raise Complaint(-104, "Data type error")
        unit = found[2].upper()
        factors = {"": 1.0} if units is None else {"": 1.0, **units}
        if unit not in factors:
            raise Complaint(-131, "Invalid suffix")
        value = float(found[1]) * factors[unit]
        if not abs(value) < 1e300:
            raise Complaint(-222, "Data out of range")
        return value


@dataclass(frozen=True, kw_only=True)
class Later:
    """An answer that holds up everything behind it until a condition is met.

    Args:
        until: the condition.
        answer: given then; None for a command without one, such as `*WAI`. May be a function.
        at_s: simulated time at which the condition is met, where known.
    """

    until: Callable[[], bool]
    answer: "str | bytes | Callable[[], str | bytes] | None" = None
    at_s: float | None = None


Answer: TypeAlias = "str | bytes | Later | None"
Handler: TypeAlias = Callable[[Call], Answer]


def block(data: bytes) -> bytes:
    """Bytes as a definite-length block."""
    digits = str(len(data))
    return f"#{len(digits)}{digits}".encode() + data


class ErrorQueue:
    """A first-in first-out queue of errors; shared by the sessions of most instruments.

    Args:
        size: most entries; the newest of a full queue is replaced by the overflow.
        empty: answer of the empty queue.
        plus: positive numbers are written with a sign.
        overflow: number and text.
    """

    def __init__(
        self,
        *,
        size: int = 30,
        empty: str = '+0,"No error"',
        plus: bool = True,
        overflow: tuple[int, str] = (-350, "Queue overflow"),
    ) -> None:
        self._size = size
        self._empty = empty
        self._plus = plus
        self._overflow = overflow
        self._entries: deque[tuple[int, str]] = deque()
        self.events = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, number: int, text: str) -> None:
        """Queue an error, and set its bit in the standard event register."""
        self.events |= _EVENT_BITS.get(-number // 100, 8) if number < 0 else 8
        if len(self._entries) < self._size:
            self._entries.append((number, text))
        else:
            self._entries[-1] = self._overflow

    def next(self) -> str:
        """The oldest error, taken out."""
        if not self._entries:
            return self._empty
        number, text = self._entries.popleft()
        quoted = text.replace('"', '""')
        return f'{number:+d},"{quoted}"' if self._plus else f'{number},"{quoted}"'

    def clear(self) -> None:
        """Empty it and the event register."""
        self._entries.clear()
        self.events = 0
