"""What the twins of tunable laser modules of the OIF agreement (ITLA) share: packets and answers.

Source: OIF-ITLA-MSA-01.3. Bytes are collected to packets of four, which is why zeros bring a host
back to their boundary: four of them are a request that does nothing. The collected bytes belong to
the module, not to a connection: nobody tells a serial line that a program has ended.
"""

from abc import abstractmethod
from enum import IntEnum

from drivers.transports.serial_stream import SerialSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin

__all__ = ["Code", "ItlaTwin", "RefusalError", "parity_nibble"]

_ANSWER_S = 5e-3
"""Four bytes each way at 9600 baud are 8 ms; the host's own are counted elsewhere."""
_OK, _FAILED, _LONG, _PENDING = range(4)
_NOP, _LONG_ANSWER, _LAST = 0x00, 0x0B, 0x13


class Code(IntEnum):
    """Why a request was not executed, as the status register gives it."""

    NOT_IMPLEMENTED = 1
    NOT_WRITABLE = 2
    VALUE_RANGE = 3
    PENDING = 4
    INITIALISING = 5
    ADDRESS_RANGE = 6
    OUTPUT_ENABLED = 9


class RefusalError(Exception):
    """A request that is not executed.

    Args:
        code: why.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


def parity_nibble(head: int, register: int, high: int, low: int) -> int:
    """BIP-4 of a packet: all half bytes but the checksum's own, added without carry."""
    total = head & 0x0F
    for byte in (register, high, low):
        total ^= (byte >> 4) ^ (byte & 0x0F)
    return total


class ItlaTwin(Twin):
    """A module; a maker's twin gives it registers.

    Args:
        model: for people.
        clock: simulated time.
        marks_answers: whether answers carry a 1 in bit 2 of their first byte, as some do.
        startup_s: time after power-up until it is ready.
    """

    line = SerialSettings(baud=9600)

    def __init__(
        self, *, model: str, clock: SimulatedClock, marks_answers: bool, startup_s: float
    ) -> None:
        self.model = model
        self.clock = clock
        self._mark = 0x04 if marks_answers else 0
        self._startup_s = startup_s
        self._ready_at_s = clock.now() + startup_s
        self._error = 0
        self._window = b""
        self._collected = bytearray()
        self._last = b""

    @abstractmethod
    def read_register(self, register: int) -> int | bytes:
        """The value of a register, or bytes for one with a long answer.

        Raises:
            RefusalError: there is no such register.
        """

    @abstractmethod
    def write_register(self, register: int, value: int) -> bool:
        """Write 16 bits; whether work on them goes on.

        Raises:
            RefusalError: it is not executed.
        """

    @abstractmethod
    def pending(self) -> int:
        """Operations that go on, one bit each."""

    @abstractmethod
    def note(self, *, damaged: bool) -> None:
        """Latch a damaged request, or one that was not executed."""

    def is_ready(self) -> bool:
        """Whether the module has started."""
        return self.clock.now() >= self._ready_at_s - 1e-12

    def restart(self) -> None:
        """Start anew: not ready for a while."""
        self._ready_at_s = self.clock.now() + self._startup_s
        self._window = b""

    def session(self) -> Session:
        """See `Twin.session`."""
        return _ItlaSession(self)

    def take_byte(self, byte: int) -> bytes | None:
        """One more byte on the line; the answer where it completes a packet."""
        self._collected.append(byte)
        if len(self._collected) < 4:
            return None
        head, register, high, low = self._collected
        self._collected.clear()
        if parity_nibble(head, register, high, low) != head >> 4:
            self.note(damaged=True)
            return self._keep(self._packet(0x08 | _FAILED, register, high << 8 | low))
        if head & 0x08 or (register == _LAST and not head & 0x01):
            return self._last or self._packet(_OK, _NOP, self._status())
        return self._keep(self._execute(bool(head & 0x01), register, high << 8 | low))

    def _execute(self, writes: bool, register: int, value: int) -> bytes:
        if register == _NOP:
            return self._packet(_OK, register, self._status())
        try:
            status, answer = self._carry_out(writes, register, value)
        except RefusalError as refusal:
            self._error = refusal.code
            self.note(damaged=False)
            return self._packet(_FAILED, register, value)
        self._error = 0
        return self._packet(status, register, answer)

    def _carry_out(self, writes: bool, register: int, value: int) -> tuple[int, int]:
        if not self.is_ready():
            raise RefusalError(Code.INITIALISING)
        if writes:
            goes_on = self.write_register(register, value)
            return (_PENDING, self.pending() << 8) if goes_on else (_OK, value)
        if register == _LONG_ANSWER:
            return _OK, self._next_piece()
        found = self.read_register(register)
        if isinstance(found, int):
            return _OK, found & 0xFFFF
        # Even, because some hosts read count // 2 times and others until the refusal.
        self._window = found + bytes(len(found) % 2)
        return _LONG, len(self._window)

    def _next_piece(self) -> int:
        if not self._window:
            raise RefusalError(Code.ADDRESS_RANGE)
        piece, self._window = self._window[:2], self._window[2:]
        return int.from_bytes(piece, "big")

    def _status(self) -> int:
        return self.pending() << 8 | (0x10 if self.is_ready() else 0) | self._error

    def _packet(self, low_bits: int, register: int, value: int) -> bytes:
        head = low_bits | self._mark
        high, low = value >> 8, value & 0xFF
        return bytes((head | parity_nibble(head, register, high, low) << 4, register, high, low))

    def _keep(self, packet: bytes) -> bytes:
        self._last = packet
        return packet


class _ItlaSession(Session):
    """A connection to the module's serial line."""

    def __init__(self, twin: ItlaTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        for byte in data:
            answer = self._twin.take_byte(byte)
            if answer is not None:
                self.say(answer, after_s=_ANSWER_S)
