"""What a twin of a Red Pitaya is made of: its session, its inputs' memory, its outputs.

Source: RedPitaya/RedPitaya, scpi-server/src and rp-api, and the maker's list of SCPI commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import DigitiserSettings, Trigger
from sim_backend.instruments.parts import DigitiserPart, GeneratorPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.scpi_session import Complaint, ErrorQueue, Handler, ScpiSession

__all__ = ["FULL_V", "RATE_HZ", "SIZE", "Acquisition", "Output", "RedPitayaSession", "out_of_range"]

RATE_HZ = 125e6
SIZE = 16384
FULL_V = {"LV": 1.0, "HV": 20.0}
_HALF = SIZE // 2
_MOST_CODE = 8191
_NOISE_CODES = 8.0
_OFFSET_CODES = 20.0


def out_of_range(command: str) -> Complaint:
    """The library's fault for a value that it does not take."""
    return Complaint(9506, f"*{command} Value is out of range.")


class RedPitayaSession(ScpiSession):
    """A connection: only CR LF ends a message; a lone LF waits for it."""

    def __init__(
        self, clock: SimulatedClock, table: Mapping[str, Handler], errors: ErrorQueue
    ) -> None:
        super().__init__(clock, table, errors, end=b"\r\n")
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        self._held += data
        end = self._held.rfind(b"\r\n")
        if end < 0:
            if len(self._held) > 1 << 22:
                self._held.clear()
            return
        whole = bytes(self._held[: end + 2])
        del self._held[: end + 2]
        super().feed(whole.replace(b"\r\n", b"\n"))


@dataclass
class Acquisition:
    """The memory of both inputs, and what starts to fill it.

    Args:
        clock: simulated time.
        parts: of the scene, by input.
        seed: of the noise of inputs that are not connected.
    """

    clock: SimulatedClock
    parts: Mapping[int, DigitiserPart]
    seed: int = 0
    decimation: int = 1
    averaging: bool = True
    gains: dict[int, str] = field(default_factory=lambda: {1: "LV", 2: "LV"})
    raw: bool = False
    level_v: float = 0.0
    hysteresis_v: float = 0.005
    delay: int = 0
    source: str = "DISABLED"
    running: bool = False
    full: bool = False
    trigger_place: int = 0
    started_s: float = 0.0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.buffers = {n: np.zeros(SIZE, dtype=np.int16) for n in self.gains}

    @property
    def rate_hz(self) -> float:
        """Samples per second in the buffer."""
        return RATE_HZ / self.decimation

    def reset(self) -> None:
        """All to its default; what is in the buffers stays."""
        self.stop()
        self.decimation, self.averaging, self.raw = 1, True, False
        self.gains = {1: "LV", 2: "LV"}
        self.level_v, self.delay, self.full = 0.0, 0, False

    def start(self) -> None:
        """Begin to write into the buffers; a trigger source comes later."""
        self.running, self.full = True, False
        self.source = "DISABLED"
        self.started_s = self.clock.now()

    def stop(self) -> None:
        """Stop writing and waiting."""
        self.running, self.source = False, "DISABLED"
        for part in self.parts.values():
            part.unit.armed = None

    def choose(self, source: str) -> None:
        """Begin to wait for a trigger, which may be there at once."""
        self.source = source
        for part in self.parts.values():
            part.unit.armed = None
        if not self.running or source == "DISABLED":
            return
        behind = min(SIZE, _HALF + self.delay)
        for number, part in self.parts.items():
            unit = part.unit
            unit.settings = DigitiserSettings(
                sample_rate_hz=self.rate_hz, samples=SIZE, range_v=FULL_V[self.gains[number]]
            )
            unit.pre_trigger_s = (SIZE - behind) / self.rate_hz
            unit.record = None
            if source.startswith("EXT"):
                unit.armed = Trigger.EXTERNAL
        if source == "NOW":
            triggered_s = self.clock.now()
            for part in self.parts.values():
                part.line.record_now(part.unit)
            if not self.parts:
                self.clock.advance(behind / self.rate_hz)
            self._fill(triggered_s)

    def awaits_own_output(self) -> bool:
        """Whether the start of one of the board's outputs is the trigger."""
        return self.running and self.source.startswith("AWG")

    def look(self) -> None:
        """See whether the scene has recorded."""
        if self.source == "DISABLED" or not self.parts:
            return
        if any(part.unit.record is not None for part in self.parts.values()):
            behind_s = min(SIZE, _HALF + self.delay) / self.rate_hz
            self._fill(self.clock.now() - behind_s)

    def _fill(self, triggered_s: float) -> None:
        """Put the records where the ring has them; what was not written yet stays old."""
        behind = min(SIZE, _HALF + self.delay)
        elapsed_s = max(0.0, triggered_s - self.started_s)
        ahead = min(SIZE - behind, int(elapsed_s * self.rate_hz))
        self.trigger_place = int(elapsed_s * self.rate_hz) % SIZE
        places = (self.trigger_place + np.arange(-ahead, behind)) % SIZE
        for number, buffer in self.buffers.items():
            buffer[places] = self._codes(number)[SIZE - behind - ahead :]
        self.source, self.running, self.full = "DISABLED", False, True

    def _codes(self, number: int) -> NDArray[np.int16]:
        part = self.parts.get(number)
        if part is None or part.unit.record is None:
            codes = self._rng.normal(_OFFSET_CODES, _NOISE_CODES, SIZE)
        else:
            record, part.unit.record = part.unit.record, None
            codes = np.rint(record.volts * (_HALF / FULL_V[self.gains[number]]))
        return np.clip(codes, -_MOST_CODE, _MOST_CODE).astype(np.int16)


@dataclass
class Output:
    """An output of the board.

    Args:
        part: of the scene; None where nothing is connected.
    """

    part: GeneratorPart | None = None
    function: str = "SINE"
    frequency_hz: float = 1e3
    volts: float = 0.8
    offset_v: float = 0.0
    phase: float = 0.0
    duty: float = 0.5
    mode: str = "CONTINUOUS"
    cycles: int = 1
    repetitions: int = 1
    period_us: float = 1.0
    first_v: float = 0.0
    last_v: float = 0.0
    trigger: str = "INT"
    on: bool = False
    started: bool = False
    table: NDArray[np.float32] = field(default_factory=lambda: np.zeros(SIZE, dtype=np.float32))
    plays: int = 0

    def set_levels(self, command: str, *, volts: float, offset_v: float) -> None:
        """New amplitude and offset, which the board takes only together within its range."""
        if not abs(volts) + abs(offset_v) <= 1 + 1e-5:
            raise out_of_range(command)
        self.volts, self.offset_v = volts, offset_v

    def waits(self, source: str) -> bool:
        """Whether a trigger of a source makes it play its table once."""
        once = self.cycles == 1 and self.repetitions == 1
        return (
            self.function == "ARBITRARY"
            and self.mode == "BURST"
            and once
            and self.trigger == source
        )

    def apply(self) -> None:
        """Let the scene have what the settings are."""
        if self.part is None:
            return
        unit, index = self.part.unit, self.part.channel
        bursts = self.waits("EXT_PE") or self.waits("INT")
        if self.frequency_hz > 0:
            unit.sample_rate_hz = self.frequency_hz * len(self.table)
        unit.delay_s = 0.0
        unit.outputs[index] = self.on
        empty = np.empty(0, dtype=np.float32)
        unit.waveforms[index] = self._played() if bursts else empty
        unit.idle_v[index] = self._level()
        unit.armed = Trigger.EXTERNAL if self.waits("EXT_PE") else None
        unit.rest()

    def _played(self) -> NDArray[np.float32]:
        volts: NDArray[np.float32] = self.table * np.float32(self.volts)
        volts += np.float32(self.offset_v)
        return volts

    def _level(self) -> float:
        """Between plays; what never rests counts by its mean."""
        if self.mode == "BURST":
            return self.last_v if self.started else self.first_v
        sign = {"DC": 1.0, "DC_NEG": -1.0}.get(self.function, 0.0)
        return sign * self.volts + self.offset_v if self.started else 0.0
