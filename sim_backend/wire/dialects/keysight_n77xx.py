"""What the twins of Keysight's N77xx boxes share: identity, error texts and a polled `*OPC?`."""

from abc import abstractmethod
from collections.abc import Mapping

from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.scpi_values import checked_value
from sim_backend.wire.scpi_session import Call, Complaint, ErrorQueue, Handler, ScpiSession
from sim_backend.wire.session import Session, Twin

__all__ = ["N77xxTwin", "n77xx_checked", "n77xx_number"]

_FIRMWARE = "1.22"


def n77xx_number(value: float) -> str:
    """A number as these boxes write it, such as `+1.55000000E-006`."""
    mantissa, _, exponent = f"{value:+.8E}".partition("E")
    return f"{mantissa}E{int(exponent):+04d}"


def n77xx_checked(value: float, lowest: float, highest: float) -> float:
    """A value in a range, or the error -222 as these boxes word it."""
    return checked_value(
        value,
        lowest,
        highest,
        too_small="Data out of range (StatParmTooSmall)",
        too_large="Data out of range (StatParmTooLarge)",
    )


class N77xxTwin(Twin):
    """A box; a family adds its table.

    Args:
        model: such as `N7711A`.
        serial: serial number.
        clock: simulated time.
        slots: what `*OPT?` lists, one name per slot; empty for a slot without a module.
    """

    def __init__(
        self, *, model: str, serial: str, clock: SimulatedClock, slots: tuple[str, ...]
    ) -> None:
        self.model = model
        self.clock = clock
        self.errors = ErrorQueue(size=30)
        self.busy_until_s: dict[int, float] = {}
        self._serial = serial
        self._slots = slots

    @abstractmethod
    def table(self) -> Mapping[str, Handler]:
        """The family's own commands."""

    def preset(self) -> None:
        """Back to the state after `*RST`."""

    def is_busy(self, slot: int | None = None) -> bool:
        """Whether something is pending in a slot, or in any."""
        now = self.clock.now()
        times = self.busy_until_s.values() if slot is None else [self.busy_until_s.get(slot, 0.0)]
        return any(time > now + 1e-12 for time in times)

    def keep_busy(self, slot: int, duration_s: float) -> None:
        """A slot needs time from now on."""
        until_s = self.clock.now() + duration_s
        self.busy_until_s[slot] = max(self.busy_until_s.get(slot, 0.0), until_s)

    def need_slot(self, slot: int, known: tuple[int, ...]) -> int:
        """The slot; an empty one is the error -303."""
        if slot not in known:
            raise Complaint(-303, "Empty slot (StatSlotEmpty)")
        return slot

    def session(self) -> Session:
        """See `Twin.session`."""
        common: dict[str, Handler] = {
            "*IDN?": lambda _: f"Keysight Technologies,{self.model},{self._serial},{_FIRMWARE}",
            "*OPC?": lambda _: "0" if self.is_busy() else "1",
            "*WAI": lambda _: None,
            "*OPT?": lambda _: ",".join(slot or "  " for slot in self._slots),
            "*RST": lambda _: self.preset(),
            "*STB?": lambda _: str(4 if len(self.errors) else 0),
            ":SLOT#:OPC?": lambda call: "0" if self.is_busy(call.suffixes[0]) else "1",
            ":SLOT#:IDN?": self._slot_identity,
        }
        return ScpiSession(self.clock, {**common, **self.table()}, self.errors)

    def _slot_identity(self, call: Call) -> str:
        slot = call.suffixes[0]
        if not 1 <= slot <= len(self._slots) or not self._slots[slot - 1]:
            raise Complaint(-303, "Empty slot (StatSlotEmpty)")
        return f"Keysight Technologies,{self._slots[slot - 1]},{self._serial},{_FIRMWARE}"
