"""Twins of the Thorlabs OSW12-E and OSW22-E optical switches."""

from collections.abc import Callable
from functools import partial
from typing import Final

from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import SwitchPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "ThorlabsOSWETwin"]

_LONGEST_LINE: Final = 256
_STALE_S: Final = 0.1


class ThorlabsOSWETwin(Twin):
    """A switch between two states; sets and what it does not know are not answered.

    The state that it tells is that of before for a tenth of a second.

    Args:
        model: such as `OSW12-E`.
        clock: simulated time.
        switch: of the scene; None for a switch without fibres.
        lit: state that lets the scene's light on; the other blocks it.
    """

    line = SerialSettings(baud=115200)

    def __init__(
        self, *, model: str, clock: SimulatedClock, switch: SwitchPart | None, lit: int = 1
    ) -> None:
        self.model = f"Thorlabs {model}"
        self.clock = clock
        self._name = model
        self._switch = switch
        self._lit = lit
        self._state = self._before = 1
        self._told_from_s = clock.now()
        self._go(1)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _Line(self)

    def answer(self, text: str) -> str | None:
        """What is said to a line; None for silence."""
        if text in ("S 1", "S 2"):
            self._go(int(text[2]))
            return None
        known = {
            "S?": str(self._told()),
            "T?": "1",
            "I?": f"{self._name} v1.0",
        }
        return known.get(text)

    def _go(self, state: int) -> None:
        self._before = self._told()
        self._state = state
        self._told_from_s = self.clock.now() + _STALE_S
        if self._switch is not None:
            self._switch.select("light" if state == self._lit else "blocked")

    def _told(self) -> int:
        return self._state if self.clock.now() >= self._told_from_s else self._before


class _Line(Session):
    """The serial line: commands that end with a line feed."""

    def __init__(self, twin: ThorlabsOSWETwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        *lines, self._input = (self._input + data).split(b"\n")
        self._input = self._input[-_LONGEST_LINE:]
        for line in lines:
            answer = self._twin.answer(line.decode("latin-1").strip("\r"))
            if answer is not None:
                self.say(answer.encode("ascii") + b"\r\n")


def _make(model: str, place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    lit = place.settings.get(1, {}).get("light", 1)
    return ThorlabsOSWETwin(
        model=model,
        clock=place.clock,
        switch=part if isinstance(part, SwitchPart) else None,
        lit=lit if isinstance(lit, int) else 1,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {
    f"Thorlabs {model}": partial(_make, model) for model in ("OSW12-E", "OSW22-E")
}
