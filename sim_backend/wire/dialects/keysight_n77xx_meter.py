"""Power meter inputs as they answer in Keysight's N77xx boxes: readings, zeroing, logging."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.bench.units import dbm_from_si
from sim_backend.instruments.parts import PowerPart
from sim_backend.wire.dialects.keysight_n77xx import N77xxTwin, n77xx_checked, n77xx_number
from sim_backend.wire.dialects.scpi_values import LENGTH_UNITS, TIME_UNITS
from sim_backend.wire.scpi_session import Call, Complaint, Handler, Later, block

__all__ = ["MeterInputs"]

_SHORTEST_S, _LONGEST_S = 1e-6, 10.0
_SHORTEST_M, _LONGEST_M = 1250e-9, 1650e-9
_OVER_RANGE = 9.9e37
_RANGE_MARGIN_DB = 3.0
_TOP_RANGE_DBM = 10
_ZERO_S = 2.0
_DARK_W = 1e-8
"""More light than this at an input makes its zeroing fail."""
_MOST_POINTS = 1_000_000


@dataclass
class _Input:
    """One input of the box."""

    wavelength_m: float = 1550e-9
    averaging_s: float = 0.1
    watts: bool = False
    continuous: bool = True
    auto_range: bool = True
    auto_gain: bool = True
    range_dbm: int = 10
    correction_db: float = 0.0
    last_w: float = 0.0
    zero_failed: bool = False
    function: str = "NONE"
    points: int = 100
    log_averaging_s: float = 1e-4
    log_until_s: float | None = None
    trigger_input: str = "IGN"
    trigger_output: str = "DIS"
    log: list[float] = field(default_factory=list)


class MeterInputs:
    """The inputs of a box and their commands.

    Args:
        box: whose clock, error queue and busy times are used.
        parts: sensors of the scene by slot; slots without one are dark.
        slots: which slots of the box are inputs.
    """

    def __init__(
        self, box: N77xxTwin, parts: Mapping[int, PowerPart], slots: tuple[int, ...]
    ) -> None:
        self._box = box
        self._parts = {slot: part for slot, part in parts.items() if slot in slots}
        self._slots = slots
        self._inputs: dict[int, _Input] = {}
        self.preset()

    def preset(self) -> None:
        """Everything as after power-up."""
        for slot in self._slots:
            self._inputs[slot] = _Input()
            self._tell_wavelength(slot)

    def is_input(self, slot: int) -> bool:
        """Whether a slot is an input."""
        return slot in self._inputs

    def table(self) -> Mapping[str, Handler]:
        """All commands but READ and FETCh of one slot, which a box may share with others."""
        sense = ":SENSe#[:CHANnel#]"
        return {
            f"{sense}:POWer:WAVelength": self._set_wavelength,
            f"{sense}:POWer:WAVelength?": lambda call: n77xx_number(self._at(call).wavelength_m),
            f"{sense}:POWer:ATIMe": self._set_averaging,
            f"{sense}:POWer:ATIMe?": lambda call: n77xx_number(self._at(call).averaging_s),
            f"{sense}:POWer:UNIT": self._set_unit,
            f"{sense}:POWer:UNIT?": lambda call: f"{self._at(call).watts:+d}",
            f"{sense}:POWer:RANGe[:UPPer]": self._set_range,
            f"{sense}:POWer:RANGe[:UPPer]?": lambda c: n77xx_number(self._at(c).range_dbm),
            f"{sense}:POWer:RANGe:AUTO": self._set_auto_range,
            f"{sense}:POWer:RANGe:AUTO?": lambda call: f"{self._at(call).auto_range:+d}",
            f"{sense}:POWer:GAIN:AUTO": self._set_auto_gain,
            f"{sense}:POWer:GAIN:AUTO?": lambda call: f"{self._at(call).auto_gain:+d}",
            f"{sense}:CORRection": self._set_correction,
            f"{sense}:CORRection?": lambda call: n77xx_number(self._at(call).correction_db),
            f"{sense}:CORRection:COLLect:ZERO": lambda call: self._zero((self._slot(call),)),
            f"{sense}:CORRection:COLLect:ZERO?": lambda c: f"{self._at(c).zero_failed:+d}",
            f"{sense}:CORRection:COLLect:ZERO:ALL": lambda _: self._zero(self._slots),
            f"{sense}:CORRection:COLLect:ZERO:ALL?": lambda _: self._zero_mask(),
            ":INITiate#[:CHANnel#][:IMMediate]": self._measure_once,
            ":INITiate#[:CHANnel#]:CONTinuous": self._set_continuous,
            ":INITiate#[:CHANnel#]:CONTinuous?": lambda c: f"{self._at(c).continuous:+d}",
            ":FETCh:POWer:ALL?": lambda _: self._all(),
            ":READ:POWer:ALL?": lambda _: self._all(),
            ":FETCh:POWer:ALL:CSV?": lambda _: ",".join(map(n77xx_number, self._readings())),
            ":FETCh:POWer:ALL:CONFig?": lambda _: self._configuration(),
            ":READ:POWer:ALL:CONFig?": lambda _: self._configuration(),
            **self._function_table(),
        }

    def read(self, slot: int, *, fresh: bool) -> str | Later:
        """The answer to READ (fresh) or FETCh of one input."""
        one = self._inputs[slot]
        if one.log_until_s is not None:
            raise Complaint(-284, "Function currently running")
        if one.continuous:
            one.last_w = self._reading_w(slot)
        elif fresh:
            return self._later(slot)
        return self._text(slot, one.last_w)

    def reading_w(self, slot: int) -> float:
        """A reading now in W, for offsets that are taken from it."""
        if slot not in self._inputs:
            raise Complaint(-303, "Empty slot (StatSlotEmpty)")
        return self._reading_w(slot)

    def _function_table(self) -> Mapping[str, Handler]:
        function, trigger = ":SENSe#[:CHANnel#]:FUNCtion", ":TRIGger#[:CHANnel#]"
        return {
            f"{function}:PARameter:LOGGing": self._set_logging,
            f"{function}:PARameter:LOGGing?": self._logging_parameters,
            f"{function}:STATe": self._run,
            f"{function}:STATe?": self._state,
            f"{function}:RESult?": self._result,
            f"{trigger}:INPut": self._set_trigger_input,
            f"{trigger}:INPut?": lambda call: self._at(call).trigger_input,
            f"{trigger}:OUTPut": self._set_trigger_output,
            f"{trigger}:OUTPut?": lambda call: self._at(call).trigger_output,
        }

    def _slot(self, call: Call) -> int:
        return self._box.need_slot(call.suffixes[0], self._slots)

    def _at(self, call: Call) -> _Input:
        return self._inputs[self._slot(call)]

    def _set_wavelength(self, call: Call) -> None:
        wavelength_m = call.number(LENGTH_UNITS)
        n77xx_checked(wavelength_m, _SHORTEST_M, _LONGEST_M)
        self._at(call).wavelength_m = wavelength_m
        self._tell_wavelength(self._slot(call))

    def _tell_wavelength(self, slot: int) -> None:
        if slot in self._parts:
            self._parts[slot].wavelength_m = self._inputs[slot].wavelength_m

    def _set_averaging(self, call: Call) -> None:
        averaging_s = call.number(TIME_UNITS)
        n77xx_checked(averaging_s, _SHORTEST_S, _LONGEST_S)
        self._at(call).averaging_s = averaging_s

    def _set_unit(self, call: Call) -> None:
        words = {"DBM": "", "0": "", "W": "watts", "Watt": "watts", "1": "watts"}
        self._at(call).watts = bool(call.word(words))

    def _set_range(self, call: Call) -> None:
        value = call.number({"DBM": 1.0})
        n77xx_checked(value, -30, _TOP_RANGE_DBM)
        self._at(call).range_dbm = 10 * round(value / 10)

    def _set_auto_range(self, call: Call) -> None:
        self._at(call).auto_range = call.flag()

    def _set_auto_gain(self, call: Call) -> None:
        self._at(call).auto_gain = call.flag()

    def _set_correction(self, call: Call) -> None:
        value = call.number({"DB": 1.0})
        n77xx_checked(value, -200, 200)
        self._at(call).correction_db = value

    def _set_continuous(self, call: Call) -> None:
        self._at(call).continuous = call.flag()

    def _set_trigger_input(self, call: Call) -> None:
        self._at(call).trigger_input = call.word(
            {"IGNore": "IGN", "SMEasure": "SME", "MMEasure": "MME", "CMEasure": "MME"}
        )

    def _set_trigger_output(self, call: Call) -> None:
        self._at(call).trigger_output = call.word(
            {"DISabled": "DIS", "AVGover": "AVG", "MEASure": "MEAS"}
        )

    def _measure_once(self, call: Call) -> None:
        one, slot = self._at(call), self._slot(call)
        if one.continuous:
            raise Complaint(-213, "Init ignored")
        self._box.keep_busy(slot, one.averaging_s)
        one.last_w = self._reading_w(slot)

    def _reading_w(self, slot: int, averaging_s: float | None = None) -> float:
        one = self._inputs[slot]
        part = self._parts.get(slot)
        time_s = one.averaging_s if averaging_s is None else averaging_s
        seen_w = 0.0 if part is None else part.read_w(time_s)
        top_dbm = _TOP_RANGE_DBM if one.auto_range else one.range_dbm
        if seen_w > 1e-3 * 10 ** ((top_dbm + _RANGE_MARGIN_DB) / 10):
            return _OVER_RANGE
        return float(seen_w * 10 ** (one.correction_db / 10))

    def _later(self, slot: int) -> Later:
        """A reading that is triggered now; it is there when its averaging is over."""
        one = self._inputs[slot]
        at_s = self._box.clock.now() + one.averaging_s

        def answer() -> str:
            one.last_w = self._reading_w(slot)
            return self._text(slot, one.last_w)

        return Later(until=lambda: self._box.clock.now() >= at_s - 1e-12, answer=answer, at_s=at_s)

    def _text(self, slot: int, power_w: float) -> str:
        if self._inputs[slot].watts or power_w >= _OVER_RANGE:
            return n77xx_number(power_w)
        if power_w <= 0:
            raise Complaint(-261, "Math error in expression")
        return n77xx_number(dbm_from_si(power_w))

    def _readings(self) -> list[float]:
        for slot, one in self._inputs.items():
            if one.continuous:
                one.last_w = self._reading_w(slot)
        return [one.last_w for one in self._inputs.values()]

    def _all(self) -> bytes:
        return block(struct.pack(f"<{len(self._inputs)}f", *self._readings()))

    def _configuration(self) -> bytes:
        pairs = [number for slot in self._inputs for number in (slot, 1)]
        return block(struct.pack(f"<{len(pairs)}H", *pairs))

    def _zero(self, slots: tuple[int, ...]) -> None:
        for slot in slots:
            one, part = self._inputs[slot], self._parts.get(slot)
            self._box.keep_busy(slot, _ZERO_S)
            if part is None:
                continue
            one.zero_failed = abs(part.read_w(_ZERO_S)) > _DARK_W
            if not one.zero_failed:
                part.zero(_ZERO_S)

    def _zero_mask(self) -> str:
        failed = [one.zero_failed for one in self._inputs.values()]
        return f"{sum(1 << bit for bit, one in enumerate(failed) if one):+d}"

    def _set_logging(self, call: Call) -> None:
        points, averaging_s = call.number(), call.number(TIME_UNITS, 1)
        n77xx_checked(points, 1, _MOST_POINTS)
        n77xx_checked(averaging_s, _SHORTEST_S, _LONGEST_S)
        one = self._at(call)
        one.points, one.log_averaging_s = int(points), averaging_s

    def _logging_parameters(self, call: Call) -> str:
        one = self._at(call)
        return f"{one.points:+d},{n77xx_number(one.log_averaging_s)}"

    def _run(self, call: Call) -> None:
        one = self._at(call)
        call.word({"LOGGing": "LOGG"})
        if call.word({"STARt": "start", "STOP": "stop"}, 1) == "stop":
            one.function, one.log_until_s = "NONE", None
            return
        if one.auto_range:
            raise Complaint(-221, "Settings conflict (auto range is on)")
        one.function = "LOGGING_STABILITY"
        one.log_until_s = self._box.clock.now() + one.points * one.log_averaging_s
        one.log = []

    def _state(self, call: Call) -> str:
        one = self._at(call)
        running = one.log_until_s is not None and self._box.clock.now() < one.log_until_s - 1e-12
        return f"{one.function},{'PROGRESS' if running else 'COMPLETE'}"

    def _result(self, call: Call) -> bytes:
        one = self._at(call)
        if one.log_until_s is None or self._box.clock.now() < one.log_until_s - 1e-12:
            raise Complaint(-231, "Data questionable")
        slot = self._slot(call)
        missing = one.points - len(one.log)
        one.log += [self._reading_w(slot, one.log_averaging_s) for _ in range(missing)]
        scaled = one.log if one.watts else [dbm_from_si(max(value, 1e-20)) for value in one.log]
        return block(struct.pack(f"<{len(scaled)}f", *scaled))
