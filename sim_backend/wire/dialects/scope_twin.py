"""What the twins of oscilloscopes are made of: one front panel, one acquisition, one error queue.

A maker's twin gives the commands, the errors and what the next acquisition takes; the twins of
Keysight's two families have the running of acquisitions in common, too.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar

from sim_backend.instruments.parts import DigitiserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.scope import (
    Acquisition,
    Frame,
    Knobs,
    digitiser_parts,
    plugged_inputs,
)
from sim_backend.wire.scpi_session import (
    Answer,
    Call,
    Complaint,
    ErrorQueue,
    Handler,
    Later,
    ScpiSession,
)
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["INPUTS", "KeysightScopeTwin", "ScopeTwin", "scope_makers"]

INPUTS = 4
"""Of every scope here."""
_STALE = Complaint(-230, "Data corrupt or stale")


class ScopeTwin(Twin):
    """An oscilloscope.

    Args:
        model: as in `*IDN?`.
        clock: simulated time.
        serial: serial number.
        parts: of the scene, by input.
        plugged: inputs that the bench's trigger line is plugged into.
    """

    shown: ClassVar[str]
    """Pattern of the command that switches an input on."""

    def __init__(
        self,
        *,
        model: str,
        clock: SimulatedClock,
        serial: str,
        parts: Mapping[int, DigitiserPart],
        plugged: frozenset[int] = frozenset((4,)),
    ) -> None:
        self.model = model
        self._serial = serial
        self._clock = clock
        self._errors = self._error_queue()
        self._acquisition = Acquisition(clock, parts, plugged)
        self._knobs = Knobs()
        self._free = True
        self._table = self._commands()
        self._preset()

    def session(self) -> Session:
        """See `Twin.session`."""
        return ScpiSession(self._clock, self._table, self._errors)

    @abstractmethod
    def _error_queue(self) -> ErrorQueue:
        """A fresh one, as this maker has it."""

    @abstractmethod
    def _commands(self) -> Mapping[str, Handler]:
        """The table of the sessions; its knobs are declared."""

    @abstractmethod
    def _next_frame(self) -> Frame:
        """What an acquisition would take now."""

    @abstractmethod
    def _span_v(self, channel: int) -> float:
        """The largest voltage that an input's converter can see now."""

    def _preset(self) -> None:
        self._acquisition.stop()
        self._knobs.reset()
        self._knobs.put(self.shown, True, 1)
        self._free = True

    def _shown(self) -> list[int]:
        return [n for n in range(1, INPUTS + 1) if self._knobs.is_on(self.shown, n)]

    def _spans_v(self) -> dict[int, float]:
        """By input that is on; for a frame."""
        return {n: self._span_v(n) for n in self._shown()}

    def _wait_for(self, source: str, *, auto: bool) -> None:
        """Start an acquisition.

        Args:
            source: word of the trigger's source; one that ends in a digit is an input.
            auto: see `Acquisition.start`.
        """
        self._acquisition.start(
            self._next_frame(), source=int(source[-1]) if source[-1].isdigit() else None, auto=auto
        )


class KeysightScopeTwin(ScopeTwin):
    """An oscilloscope of Keysight: acquisitions start and end the same way in all families."""

    source: ClassVar[str]
    """Pattern of the command for the trigger's source."""
    sweep: ClassVar[str] = ":TRIGger:SWEep"
    sent: ClassVar[str] = ":WAVeform:SOURce"
    input_words: ClassVar[Mapping[str, str]] = {f"CHANnel{n}": f"CHAN{n}" for n in (1, 2, 3, 4)}
    _armed = False

    def _run(self) -> None:
        self._acquisition.stop()
        self._free = self._armed = True

    def _stop(self) -> None:
        if self._free:
            self._acquisition.keep(self._next_frame())
        self._free = False
        self._acquisition.stop()

    def _single(self) -> None:
        self._free = False
        self._wait_for(self._knobs.text(self.source), auto=self._knobs.text(self.sweep) == "AUTO")
        self._armed = True

    def _digitize(self, call: Call) -> Answer:
        for index in range(len(call.arguments)):
            self._knobs.put(self.shown, True, int(call.word(self.input_words, index)[-1]))
        self._single()
        return Later(until=lambda: not self._acquisition.is_running())

    def _is_running(self) -> bool:
        return self._free or self._acquisition.is_running()

    def _armed_event(self) -> str:
        armed, self._armed = self._armed, False
        return str(int(armed))

    def _trigger_event(self) -> str:
        self._acquisition.is_running()
        triggered, self._acquisition.triggered = self._acquisition.triggered, False
        return str(int(triggered or self._free))

    @abstractmethod
    def _in_memory(self) -> Frame | None:
        """Of the record in memory; None where there is none, or none that is sent now."""

    def _record(self) -> tuple[Frame, int]:
        """The record in memory and the input that is sent; -230 where there is none."""
        frame = self._in_memory()
        channel = int(self._knobs.text(self.sent)[-1])
        if frame is None or channel not in frame.spans_v:
            raise _STALE
        return frame, channel


def _make(twin: type[ScopeTwin], model: str, place: TwinPlace) -> Twin:
    return twin(
        model=model,
        clock=place.clock,
        serial=place.serial,
        parts=digitiser_parts(place),
        plugged=plugged_inputs(place),
    )


def scope_makers(
    twin: type[ScopeTwin], models: Mapping[str, str]
) -> dict[str, Callable[[TwinPlace], Twin]]:
    """What makes the twins of a family.

    Args:
        twin: its class.
        models: what each says in `*IDN?`, by the name in bench files.
    """
    return {name: partial(_make, twin, model) for name, model in models.items()}
