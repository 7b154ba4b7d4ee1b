"""The module side of NKT Photonics' Interbus: telegrams, checksums, addresses, registers.

Source: the maker's SDK instruction manual and the open drivers that agree on the framing. Who is
not addressed keeps silent; a damaged telegram is answered as damaged; an unknown register or a
refused value is answered without a reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from drivers.transports.serial_stream import SerialSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin

__all__ = ["Cell", "InterbusTwin", "Registers", "checksum", "frame", "number"]

_BEGIN, _END, _ESCAPE, _SHIFT = 0x0D, 0x0A, 0x5E, 0x40
_REFUSED, _DAMAGED, _BUSY, _DONE, _READ, _WRITE, _SET, _CLEAR, _DATA, _TOGGLE = range(10)
_LONGEST = 600
_ANSWER_S = 2e-3


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One register.

    Args:
        read: its data.
        write: takes new data and says whether they were accepted; None where it is read-only.
    """

    read: Callable[[], bytes]
    write: Callable[[bytes], bool] | None = None


Registers: TypeAlias = Mapping[int, Cell]
"""The registers of a module."""


def number(
    size: int,
    read: Callable[[], int],
    write: Callable[[int], bool] | None = None,
    *,
    signed: bool = False,
) -> Cell:
    """A register with one number, little-endian.

    Args:
        size: in bytes; data of another length are refused.
        read: the number; kept within what the size holds.
        write: takes a number and says whether it was accepted.
        signed: whether it can be negative.
    """
    low = -(1 << (8 * size - 1)) if signed else 0
    high = low + (1 << 8 * size) - 1

    def take(data: bytes) -> bool:
        assert write is not None
        return len(data) == size and write(int.from_bytes(data, "little", signed=signed))

    return Cell(
        read=lambda: min(max(read(), low), high).to_bytes(size, "little", signed=signed),
        write=None if write is None else take,
    )


def checksum(data: bytes) -> int:
    """CRC of 16 bits, polynomial x^16 + x^12 + x^5 + 1, starting from 0, highest bit first."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x1021 if value & 0x8000 else 0)
            value &= 0xFFFF
    return value


def frame(destination: int, source: int, kind: int, register: int, data: bytes = b"") -> bytes:
    """A telegram as it goes over the bus."""
    body = bytes((destination, source, kind, register)) + data
    body += checksum(body).to_bytes(2, "big")
    for special in (_ESCAPE, _BEGIN, _END):
        body = body.replace(bytes((special,)), bytes((_ESCAPE, special + _SHIFT)))
    return bytes((_BEGIN,)) + body + bytes((_END,))


class InterbusTwin(Twin):
    """Modules on a bus.

    Args:
        model: for people.
        clock: simulated time.
        modules: registers by address.
    """

    line = SerialSettings(baud=115200)

    def __init__(
        self, *, model: str, clock: SimulatedClock, modules: Mapping[int, Registers]
    ) -> None:
        self.model = model
        self.clock = clock
        self.busy_for = 0
        """How many requests are answered as busy from now on."""
        self._modules = dict(modules)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _InterbusSession(self)

    def answer(self, body: bytes) -> bytes:
        """The answer to the unescaped inside of a telegram; empty for silence."""
        if len(body) < 6:
            return b""
        destination, source, kind, register = body[:4]
        module = self._modules.get(destination)
        if module is None:
            return b""
        answer, data = _DAMAGED, b""
        if checksum(body) == 0:
            answer, data = self._carry_out(module, kind, register, body[4:-2])
        return frame(source, destination, answer, register, data)

    def _carry_out(
        self, module: Registers, kind: int, register: int, data: bytes
    ) -> tuple[int, bytes]:
        if self.busy_for > 0:
            self.busy_for -= 1
            return _BUSY, b""
        cell = module.get(register)
        if cell is None:
            return _REFUSED, b""
        if kind == _READ:
            return _DATA, cell.read()
        if cell.write is None or kind not in (_WRITE, _SET, _CLEAR, _TOGGLE):
            return _REFUSED, b""
        return (_DONE if cell.write(_combined(kind, cell.read(), data)) else _REFUSED), b""


def _combined(kind: int, present: bytes, data: bytes) -> bytes:
    """What is written: the data, or the present value with some of its bits changed."""
    if kind == _WRITE or len(present) != len(data):
        return data
    pairs = zip(present, data, strict=True)
    if kind == _SET:
        return bytes(old | bits for old, bits in pairs)
    if kind == _CLEAR:
        return bytes(old & ~bits & 0xFF for old, bits in pairs)
    return bytes(old ^ bits for old, bits in pairs)


class _InterbusSession(Session):
    """A connection to the bus."""

    def __init__(self, twin: InterbusTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._body: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        for byte in data:
            self._take(byte)

    def _take(self, byte: int) -> None:
        if byte == _BEGIN:
            self._body, self._escaped = bytearray(), False
        elif self._body is None:
            return
        elif byte == _END:
            answer = self._twin.answer(bytes(self._body))
            self._body = None
            if answer:
                self.say(answer, after_s=_ANSWER_S)
        elif byte == _ESCAPE:
            self._escaped = True
        elif len(self._body) >= _LONGEST:
            self._body = None
        else:
            self._body.append((byte - _SHIFT) & 0xFF if self._escaped else byte)
            self._escaped = False
