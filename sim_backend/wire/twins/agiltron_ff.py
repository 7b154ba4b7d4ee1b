"""Twins of the Agiltron FF 1x4 and 1x8 fibre switches."""

from collections.abc import Callable
from functools import partial
from typing import Final

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import SwitchPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "AgiltronFFTwin"]

_OUTPUTS: Final = {"FF1x4": 4, "FF1x8": 8}
_PACKET_BYTES: Final = 4
_ANSWER_S: Final = 8e-3
_FORGET_S: Final = 0.5


class AgiltronFFTwin(Twin):
    """A 1xN switch; what it does not understand, and an output that it has not, meet silence.

    Args:
        model: `FF1x4` or `FF1x8`.
        clock: simulated time.
        switch: of the scene; None for a switch without fibres.
        lit: output that lets the scene's light on; all others block it.
    """

    line = SerialSettings(baud=9600)

    def __init__(
        self, *, model: str, clock: SimulatedClock, switch: SwitchPart | None, lit: int = 1
    ) -> None:
        self.model = f"Agiltron {model}"
        self.clock = clock
        self._last = _OUTPUTS[model]
        self._switch = switch
        self._lit = lit
        self._output = 1
        self._go(1)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def answer(self, packet: bytes) -> bytes:
        """What is said to four bytes; empty for silence."""
        if packet == b"\x01\x11\x00\x00":
            return b"\x01\x11\x00" + bytes([self._output])
        if packet[:3] == b"\x01\x12\x00" and 1 <= packet[3] <= self._last:
            self._go(packet[3])
            return packet
        return b""

    def _go(self, output: int) -> None:
        self._output = output
        if self._switch is not None:
            self._switch.select("light" if output == self._lit else "blocked")


class _Line(Session):
    """The serial line: packets of four bytes; the rest of a broken one is forgotten in a pause."""

    def __init__(self, twin: AgiltronFFTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""
        self._fed_s = twin.clock.now()

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        if self._clock.now() - self._fed_s > _FORGET_S:
            self._input = b""
        self._fed_s = self._clock.now()
        self._input += data
        while len(self._input) >= _PACKET_BYTES:
            packet, self._input = self._input[:_PACKET_BYTES], self._input[_PACKET_BYTES:]
            answer = self._twin.answer(packet)
            if answer:
                self.say(answer, after_s=_ANSWER_S)


def _make(model: str, place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    lit = place.settings.get(1, {}).get("light", 1)
    return AgiltronFFTwin(
        model=model,
        clock=place.clock,
        switch=part if isinstance(part, SwitchPart) else None,
        lit=lit if isinstance(lit, int) else 1,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Agiltron {model}": partial(_make, model) for model in _OUTPUTS
}
