"""Twin of the ID Photonics CoBrite: commands that end with a semicolon or a carriage return."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.dialects.cobrite import (
    COBRITE_QUANTITIES,
    CobriteLaser,
    CobriteRefusal,
    actual_power,
    cobrite_number,
    wavelength_limits,
    with_short_forms,
)
from sim_backend.wire.dialects.unconnected import unconnected_laser
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "IdPhotonicsCobriteTwin"]

_SHORTEST_BUSY_S = 0.3
_MOST_INPUT = 1 << 16
_DEVICES_PER_SLOT = 4
_PASSWORD = "IDP"
_LONGEST_WAIT_MS = 1e5


class IdPhotonicsCobriteTwin(Twin):
    """A box of lasers, four to a slot.

    Args:
        clock: simulated time.
        serial: serial number.
        lasers: of the scene, by channel: 1 is 1,1,1, 5 is 1,2,1.
        count: how many lasers the box has; the others lead nowhere.
        answer_end: behind every answer; one driver sees `;` CR LF.
        echo: whether a new session sends commands back.
    """

    model = "CoBrite"

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        lasers: Mapping[int, LaserPart],
        count: int = 4,
        answer_end: bytes = b";",
        echo: bool = False,
    ) -> None:
        self.clock = clock
        self.answer_end = answer_end
        self.echo = echo
        self.identity = f"ID Photonics GmbH,CoBrite DX{count},{serial},2.1.17"
        self.interlock_closed = True
        self.lasers: dict[tuple[int, int, int], CobriteLaser] = {}
        for channel in range(1, max(count, *lasers, 1) + 1):
            slot, device = divmod(channel - 1, _DEVICES_PER_SLOT)
            address = (1, slot + 1, device + 1)
            part = lasers.get(channel) or unconnected_laser(clock, channel)
            self.lasers[address] = CobriteLaser(part=part)
        self.preset()

    def preset(self) -> None:
        """All outputs off."""
        for address, laser in self.lasers.items():
            laser.part.set_emission(False)
            self.lasers[address] = CobriteLaser(part=laser.part, may_emit=self.interlock_closed)
            self.lasers[address].tune()

    def set_interlock(self, closed: bool) -> None:
        """Close the interlock of the box, or open it: then nothing emits."""
        self.interlock_closed = closed
        for laser in self.lasers.values():
            laser.may_emit = closed
            if not closed:
                laser.part.set_emission(False)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _CobriteSession(self)


@dataclass
class _Level:
    """What a session has been allowed."""

    level: int = 0
    delays: dict[str, str] = field(default_factory=dict)


class _CobriteSession(Session):
    """One connection; commands are carried out in order, one after the other."""

    def __init__(self, twin: IdPhotonicsCobriteTwin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = bytearray()
        self._commands: deque[str] = deque()
        self._waiting: Callable[[], bool] | None = None
        self._echo = twin.echo
        self._level = _Level()
        self._quantities = with_short_forms(COBRITE_QUANTITIES)
        self._others = with_short_forms(self._other_commands())

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        for byte in data:
            if byte in b";\r":
                self._commands.append(self._input.decode("latin-1"))
                self._input.clear()
            elif len(self._input) < _MOST_INPUT:
                self._input.append(byte)
        self.progress()

    def progress(self) -> None:
        """Carry out what has come, as far as nothing has to be waited for."""
        while True:
            if self._waiting is not None:
                if not self._waiting():
                    return
                self._waiting = None
                self._answer("")
            if not self._commands:
                return
            self._execute(self._commands.popleft())

    def _answer(self, text: str) -> None:
        self.say(text.encode("latin-1") + self._twin.answer_end)

    def _execute(self, command: str) -> None:
        if self._echo:
            self.say(command.encode("latin-1") + b";")
        try:
            answer = self._do(command.strip())
        except CobriteRefusal as refused:
            answer = str(refused)
        if self._waiting is None:
            self._answer(answer)

    def _do(self, command: str) -> str:
        header, _, rest = command.partition(" ")
        name = header.upper().removeprefix(":")
        for prefix in ("SOURCE:", "SOUR:"):
            name = name.removeprefix(prefix)
        arguments = [one.strip() for one in rest.split(",")] if rest.strip() else []
        if name in self._others:
            return self._others[name](arguments)
        quantity = self._quantities.get(name.removesuffix("?"))
        if quantity is None:
            raise CobriteRefusal(100, "unknown command")
        if name.endswith("?"):
            return self._ask(quantity.ask, arguments)
        if len(arguments) not in (1, 4):
            raise CobriteRefusal(101, "wrong number of arguments")
        laser = self._laser(arguments[:3]) if len(arguments) == 4 else self._laser([])
        quantity.put(laser, arguments[-1])
        self._touched(laser)
        return ""

    def _other_commands(self) -> dict[str, Callable[[list[str]], str]]:
        twin = self._twin
        return {
            "*IDN?": lambda _: twin.identity,
            "*OPC?": lambda _: "0" if self._any_busy() else "1",
            "*RST": self._reset,
            "*CLS": lambda _: "",
            "ECHO": self._set_echo,
            "ECHO?": lambda _: f"{self._echo:d}",
            "FREQuency:LIMit?": lambda a: self._ask(lambda _: "191.1020,196.1020", a),
            "WAVelength:LIMit?": lambda a: self._ask(lambda _: wavelength_limits(), a),
            "POWer:LIMit?": lambda a: self._ask(lambda _: "6.00,15.50", a),
            "OFFset:LIMit?": lambda a: self._ask(lambda _: "12", a),
            "LIMit?": lambda a: self._ask(lambda _: "191.1020,196.1020,12,6.00,15.50", a),
            "APOWer?": lambda a: self._ask(actual_power, a),
            "BUSY?": lambda a: self._ask(lambda one: f"{one.is_busy(twin.clock.now()):d}", a),
            "BWAIt": self._wait_for_laser,
            "WAITMS": self._wait_for_time,
            "CONFiguration?": lambda a: self._ask(self._configuration, a),
            "CONFiguration": self._configure,
            "MONitor?": lambda a: self._ask(lambda _: "29.23,25.12,125.1,1043.2", a),
            "TYPe?": lambda a: self._ask(lambda _: "GC", a),
            "LAYout?": lambda _: f"LAY,1,1,DEV{len(twin.lasers)}",
            "INTInit": lambda _: "",
            "INTLock?": lambda _: "0" if twin.interlock_closed else "1",
            "PASSword": self._unlock,
            "PASSword?": lambda _: str(self._level.level),
            "TRIDEL": self._set_delay,
        }

    def _ask(self, read: Callable[[CobriteLaser], str], arguments: list[str]) -> str:
        """One laser's value; with wild cards a line for each, its address first."""
        if "*" not in arguments:
            return read(self._laser(arguments))
        if len(arguments) != 3:
            raise CobriteRefusal(101, "wrong number of arguments")
        lines = []
        for address, laser in self._twin.lasers.items():
            pairs = zip(arguments, address, strict=True)
            if all(wanted in ("*", str(number)) for wanted, number in pairs):
                lines.append(f"{','.join(map(str, address))},{read(laser)}")
        return "\n".join(lines)

    def _laser(self, arguments: list[str]) -> CobriteLaser:
        if not arguments:
            return self._twin.lasers[1, 1, 1]
        if len(arguments) != 3:
            raise CobriteRefusal(101, "wrong number of arguments")
        for address, laser in self._twin.lasers.items():
            if arguments == [str(number) for number in address]:
                return laser
        raise CobriteRefusal(102, "illegal argument")

    def _touched(self, laser: CobriteLaser) -> None:
        if laser.part.emission():
            laser.busy_until_s = self._twin.clock.now() + _SHORTEST_BUSY_S

    def _any_busy(self) -> bool:
        now_s = self._twin.clock.now()
        return any(laser.is_busy(now_s) for laser in self._twin.lasers.values())

    def _reset(self, _: list[str]) -> str:
        self._twin.preset()
        return ""

    def _set_echo(self, arguments: list[str]) -> str:
        if arguments not in (["0"], ["1"]):
            raise CobriteRefusal(101, "wrong number of arguments")
        self._echo = arguments == ["1"]
        return ""

    def _wait_for_laser(self, arguments: list[str]) -> str:
        laser = self._laser(arguments)
        self._waiting = lambda: not laser.is_busy(self._twin.clock.now())
        return ""

    def _wait_for_time(self, arguments: list[str]) -> str:
        duration_ms = cobrite_number(arguments[0] if arguments else "", 0.0, _LONGEST_WAIT_MS)
        until_s = self._twin.clock.now() + duration_ms / 1e3
        self._waiting = lambda: self._twin.clock.now() >= until_s - 1e-12
        return ""

    def _configuration(self, laser: CobriteLaser) -> str:
        return (
            f"{laser.frequency_thz:.4f},{laser.offset_ghz:.3f},{laser.power_dbm():.2f},"
            f"{laser.part.emission():d},{laser.is_busy(self._twin.clock.now()):d},{laser.dither}"
        )

    def _configure(self, arguments: list[str]) -> str:
        if len(arguments) != 8:
            raise CobriteRefusal(101, "wrong number of arguments")
        laser = self._laser(arguments[:3])
        for name, value in zip(
            ("FREQuency", "OFFset", "POWer", "STATe", "DITher"), arguments[3:], strict=True
        ):
            COBRITE_QUANTITIES[name].put(laser, value)
        self._touched(laser)
        return ""

    def _unlock(self, arguments: list[str]) -> str:
        if [one.upper() for one in arguments] != [_PASSWORD]:
            raise CobriteRefusal(201, "not authorised")
        self._level.level = 1
        return ""

    def _set_delay(self, arguments: list[str]) -> str:
        if not self._level.level:
            raise CobriteRefusal(201, "not authorised")
        self._level.delays[",".join(arguments[:-1])] = arguments[-1] if arguments else ""
        return ""


def _make(place: TwinPlace) -> Twin:
    return IdPhotonicsCobriteTwin(
        clock=place.clock,
        serial=place.serial,
        lasers={n: part for n, part in place.parts.items() if isinstance(part, LaserPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"ID Photonics CoBrite": _make}
