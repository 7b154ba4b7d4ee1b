"""The dialogue with an integrable tunable laser assembly (ITLA): registers, pending work, resync.

Source: OIF-ITLA-MSA-01.3. Any maker's module speaks this; what one maker adds is in its driver.
One request gets one answer of four bytes, and the next request waits for it. An answer with a bad
checksum is asked for again without anything being done twice, and a request that the module says
it got damaged is sent again: it was not looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.dialects.itla_packets import (
    LAST_RESPONSE,
    PACKET_BYTES,
    Answer,
    Register,
    Status,
    is_intact,
    parse,
    request,
    signed,
)
from drivers.errors import AnswerError, InstrumentError, LinkError, RefusedError
from drivers.instruments import Clock
from drivers.transports.link import Link
from drivers.transports.reader import exactly, garbled
from drivers.transports.serial_stream import SerialSettings

__all__ = ["ITLA_LINE", "Itla", "ItlaError", "Readiness"]

ITLA_LINE: Final = SerialSettings(baud=9600)
"""The serial line of a module after power-up."""
_ZEROS = 8
_ZERO_PAUSE_S = 0.05
_POLL_S = 0.05
_LONGEST_TEXT = 80 + 2
_NOT_IMPLEMENTED = 1
_BUSY = (4, 5)
_ERRORS: Final = {
    0: "no error is given",
    _NOT_IMPLEMENTED: "RNI, register not implemented",
    2: "RNW, register not writable",
    3: "RVE, value out of range",
    4: "CIP, ignored because an operation is pending",
    5: "CII, ignored while the module initialises",
    6: "ERE, beyond the end of an extended address",
    7: "ERO, extended address is read-only",
    8: "EXF, general failure",
    9: "CIE, ignored because the optical output is enabled",
    10: "IVC, invalid configuration",
    15: "VSE, the maker's own error",
}


class ItlaError(RefusedError):
    """The module did not execute a request.

    Attributes:
        code: 0 to 15, as its status register gives it.
    """

    code: int = 0


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """What the status register says.

    Args:
        ready: the module has started up.
        pending: operations that go on, one bit each; 0 for none.
        error: code of the last request that was not executed.
    """

    ready: bool
    pending: int
    error: int

    @property
    def idle(self) -> bool:
        """Whether the module has started and nothing goes on."""
        return self.ready and not self.pending


class Itla:
    """The dialogue with one module.

    Args:
        name: role of the instrument, for messages.
        link: to the module.
        clock: for polling.
    """

    def __init__(self, name: str, link: Link, clock: Clock) -> None:
        self._name = name
        self._link = link
        self._clock = clock

    def resynchronise(self) -> None:
        """Bring both sides to the same boundary of packets, wherever the module stands.

        Zeros one by one until four bytes come back: four of them are a request that does nothing.

        Raises:
            LinkError: no answer, or none that makes sense: another baud rate, or no ITLA.
        """
        with self._link.held():
            for _ in range(2):
                if self._zeros() and self._is_aligned():
                    return
            raise LinkError(
                f"{self._name}: no sensible answer to {_ZEROS} zeros; check that the module has "
                "power, and the baud rate (settings.baud)"
            )

    def read(self, register: int) -> int:
        """The 16 bits of a register, unsigned.

        Raises:
            ItlaError: the module does not give it.
            AnswerError: the answer makes no sense, twice.
            LinkError: no answer, twice.
        """
        return self._query(register).value

    def read_signed(self, register: int) -> int:
        """The same for a signed register."""
        return signed(self.read(register))

    def has(self, register: int) -> bool:
        """Whether the module has a register; those of later agreements may be missing."""
        try:
            self.read(register)
        except ItlaError as error:
            if error.code == _NOT_IMPLEMENTED:
                return False
            raise
        return True

    def text(self, register: int) -> str:
        """A text register, without what follows its first null.

        Raises:
            ItlaError: the module does not give it.
            AnswerError: too long, or not plain characters.
        """
        with self._link.held():
            first = self._query(register)
            if first.status is not Status.LONG_ANSWER:
                return _plain(first.value.to_bytes(2, "big"))
            if first.value > _LONGEST_TEXT:
                raise garbled(f"at most {_LONGEST_TEXT} characters", first.value.to_bytes(2, "big"))
            pieces = [self._next_piece() for _ in range((first.value + 1) // 2)]
            return _plain(b"".join(pieces)[: first.value])

    def write(self, register: int, value: int, *, wait_s: float) -> bool:
        """Write a register; where something is pending, when that is done.

        A request that is refused because of pending work was not executed, so it is sent again.

        Args:
            register: where to.
            value: -32768 to 65535.
            wait_s: longest time for pending work.

        Returns:
            Whether the module goes on working on it.

        Raises:
            ItlaError: the module refuses it.
            InstrumentError: other work was still pending after `wait_s`.
            LinkError: no answer; it may have been written.
        """
        until_s = self._clock.now() + wait_s
        while True:
            try:
                with self._link.held():
                    return self._order(register, value).status is Status.PENDING
            except ItlaError as error:
                if error.code not in _BUSY or self._clock.now() >= until_s:
                    raise
            self.wait_idle(max(until_s - self._clock.now(), 0.0))
            self._clock.sleep(_POLL_S)

    def readiness(self) -> Readiness:
        """What goes on in the module."""
        value = self._query(Register.NOP).value
        return Readiness(ready=bool(value & 0x10), pending=value >> 8, error=value & 0x0F)

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the module has started.

        Raises:
            InstrumentError: it has not after that time.
        """
        self._await(lambda state: state.ready, "has not started", timeout_s)

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until the module has started and nothing is pending.

        Raises:
            InstrumentError: it is not so after that time.
        """
        self._await(lambda state: state.idle, "still works on the last order", timeout_s)

    def _await(self, reached: Callable[[Readiness], bool], lack: str, timeout_s: float) -> None:
        until_s = self._clock.now() + timeout_s
        while not reached(self.readiness()):
            if self._clock.now() >= until_s:
                raise InstrumentError(
                    f"{self._name}: the module {lack} after {timeout_s:.3g} s; look at its supply, "
                    "or allow more in settings.tune_timeout_s"
                )
            self._clock.sleep(_POLL_S)

    def _query(self, register: int) -> Answer:
        message = request(register)
        with self._link.held():
            try:
                return self._settled(register, None, self._link.ask(message, _four))
            except AnswerError:
                # Both sides may have lost the boundary of packets: the link is cleaned now.
                return self._settled(register, None, self._link.ask(message, _four))

    def _order(self, register: int, value: int | None) -> Answer:
        message = request(register, value)
        return self._settled(register, value, self._link.order(message, _four))

    def _settled(self, register: int, value: int | None, packet: bytes) -> Answer:
        """The answer, once the damage of a line is mended on either way."""
        found = self._mended(packet, register)
        if found.damaged:
            # Damaged requests are not executed: this is no second order.
            again = self._link.order(request(register, value), _four)
            found = self._mended(again, register)
            if found.damaged:
                raise LinkError(
                    f"{self._name}: the module got a request damaged, twice; check cable and "
                    "grounding"
                )
        if found.status is Status.FAILED:
            raise self._refusal(register, value)
        return found

    def _mended(self, packet: bytes, register: int) -> Answer:
        if is_intact(packet):
            # Inside an exchange, so that what makes no sense marks the link; hence the detour.
            found = parse(packet, packet[1])
            if found.damaged or found.register == register:
                return found
        return self._link.order(LAST_RESPONSE, lambda r: parse(r.exactly(PACKET_BYTES), register))

    def _refusal(self, register: int, value: int | None) -> ItlaError:
        """The reason has to be asked for at once: the next good answer may replace it."""
        packet = self._link.order(request(Register.NOP), _four)
        code = self._mended(packet, Register.NOP).value & 0x0F
        what = "reading" if value is None else f"writing {value} to"
        error = ItlaError(
            f"{self._name}: the module refused {what} register 0x{register:02X}: "
            f"{_ERRORS.get(code, f'code {code}')}"
        )
        error.code = code
        return error

    def _next_piece(self) -> bytes:
        # An order: every reading moves on, and asking again would lose two characters.
        return self._order(Register.LONG_ANSWER, None).value.to_bytes(2, "big")

    def _zeros(self) -> bool:
        """Send zeros until a packet's worth of bytes has come back; whether it has."""
        for _ in range(_ZEROS):
            self._link.send(b"\0")
            self._link.pause(_ZERO_PAUSE_S)
            if len(self._link.discard()) >= PACKET_BYTES:
                return True
        return False

    def _is_aligned(self) -> bool:
        """Whether a request that is not all zeros gets its own answer."""
        packet = self._link.order(request(Register.STATUS_FATAL), _four)
        return is_intact(packet) and packet[1] == Register.STATUS_FATAL and not packet[0] & 0x08


_four = exactly(PACKET_BYTES)


def _plain(data: bytes) -> str:
    text = data.split(b"\0", 1)[0]
    if not all(0x20 <= byte < 0x7F for byte in text):
        raise garbled("plain characters", data)
    return text.decode("ascii").strip()
