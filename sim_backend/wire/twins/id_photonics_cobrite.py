"""Twin of the ID Photonics CoBrite: commands that end with a semicolon or a carriage return."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from drivers.dialects.power_units import dbm_from_watts, watts_from_dbm
from sim_backend.instruments.parts import LaserPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings
from sim_backend.scene.light import SPEED_OF_LIGHT_M_PER_S
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "IdPhotonicsCobriteTwin"]

_FREQUENCIES_THZ = (191.102, 196.102)
_OFFSET_GHZ = 12.0
_POWERS_DBM = (6.0, 15.5)
_SHORTEST_BUSY_S = 0.3
_MOST_INPUT = 1 << 16
_DEVICES_PER_SLOT = 4
_UNCONNECTED_SEED = 2000
_PASSWORD = "IDP"
_DARK_DBM = -40.0
_LONGEST_WAIT_MS = 1e5


class _Refused(Exception):  # noqa: N818 - what the box says, not a fault of the program
    """An error that is answered."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"ERR {code}, {text}")


@dataclass
class _Laser:
    """The state of one laser."""

    part: LaserPart
    frequency_thz: float = 193.4145
    offset_ghz: float = 0.0
    dither: int = 1
    busy_until_s: float = 0.0
    address: tuple[int, int, int] = (1, 1, 1)

    def is_busy(self, now_s: float) -> bool:
        """Whether it tunes."""
        unsettled = self.part.emission() and not self.part.is_settled()
        return unsettled or now_s < self.busy_until_s - 1e-12

    def tune(self) -> None:
        """Send the light where frequency and offset say."""
        frequency_hz = self.frequency_thz * 1e12 + self.offset_ghz * 1e9
        self.part.set_wavelength_m(SPEED_OF_LIGHT_M_PER_S / frequency_hz)

    def power_dbm(self) -> float:
        """The set point."""
        return dbm_from_watts(self.part.power_setpoint_w())


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
        self.lasers: dict[tuple[int, int, int], _Laser] = {}
        for channel in range(1, max(count, *lasers, 1) + 1):
            slot, device = divmod(channel - 1, _DEVICES_PER_SLOT)
            address = (1, slot + 1, device + 1)
            part = lasers.get(channel) or _unconnected(channel, clock)
            self.lasers[address] = _Laser(part=part, address=address)
        self.preset()

    def preset(self) -> None:
        """All outputs off."""
        for address, laser in self.lasers.items():
            laser.part.set_emission(False)
            self.lasers[address] = _Laser(part=laser.part, address=address)
            self.lasers[address].tune()

    def session(self) -> Session:
        """See `Twin.session`."""
        return _CobriteSession(self)


@dataclass(frozen=True, kw_only=True)
class _Quantity:
    """A value of a laser that can be set and asked for."""

    ask: Callable[[_Laser], str]
    put: Callable[[_Laser, str], None]


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
        self._quantities = _with_short_forms(_QUANTITIES)
        self._others = _with_short_forms(self._other_commands())

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
        except _Refused as refused:
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
            raise _Refused(100, "unknown command")
        if name.endswith("?"):
            return self._ask(quantity.ask, arguments)
        if len(arguments) not in (1, 4):
            raise _Refused(101, "wrong number of arguments")
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
            "WAVelength:LIMit?": lambda a: self._ask(lambda _: _wavelength_limits(), a),
            "POWer:LIMit?": lambda a: self._ask(lambda _: "6.00,15.50", a),
            "OFFset:LIMit?": lambda a: self._ask(lambda _: "12", a),
            "LIMit?": lambda a: self._ask(lambda _: "191.1020,196.1020,12,6.00,15.50", a),
            "APOWer?": lambda a: self._ask(_actual_power, a),
            "BUSY?": lambda a: self._ask(lambda one: f"{one.is_busy(twin.clock.now()):d}", a),
            "BWAIt": self._wait_for_laser,
            "WAITMS": self._wait_for_time,
            "CONFiguration?": lambda a: self._ask(self._configuration, a),
            "CONFiguration": self._configure,
            "MONitor?": lambda a: self._ask(lambda _: "29.23,25.12,125.1,1043.2", a),
            "TYPe?": lambda a: self._ask(lambda _: "GC", a),
            "LAYout?": lambda _: f"LAY,1,1,DEV{len(twin.lasers)}",
            "INTInit": lambda _: "",
            "INTLock?": lambda _: "0",
            "PASSword": self._unlock,
            "PASSword?": lambda _: str(self._level.level),
            "TRIDEL": self._set_delay,
        }

    def _ask(self, read: Callable[[_Laser], str], arguments: list[str]) -> str:
        """One laser's value; with wild cards a line for each, its address first."""
        if "*" not in arguments:
            return read(self._laser(arguments))
        if len(arguments) != 3:
            raise _Refused(101, "wrong number of arguments")
        lines = []
        for address, laser in self._twin.lasers.items():
            pairs = zip(arguments, address, strict=True)
            if all(wanted in ("*", str(number)) for wanted, number in pairs):
                lines.append(f"{','.join(map(str, address))},{read(laser)}")
        return "\n".join(lines)

    def _laser(self, arguments: list[str]) -> _Laser:
        if not arguments:
            return self._twin.lasers[1, 1, 1]
        if len(arguments) != 3:
            raise _Refused(101, "wrong number of arguments")
        for address, laser in self._twin.lasers.items():
            if arguments == [str(number) for number in address]:
                return laser
        raise _Refused(102, "illegal argument")

    def _touched(self, laser: _Laser) -> None:
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
            raise _Refused(101, "wrong number of arguments")
        self._echo = arguments == ["1"]
        return ""

    def _wait_for_laser(self, arguments: list[str]) -> str:
        laser = self._laser(arguments)
        self._waiting = lambda: not laser.is_busy(self._twin.clock.now())
        return ""

    def _wait_for_time(self, arguments: list[str]) -> str:
        duration_ms = _number(arguments[0] if arguments else "", 0.0, _LONGEST_WAIT_MS)
        until_s = self._twin.clock.now() + duration_ms / 1e3
        self._waiting = lambda: self._twin.clock.now() >= until_s - 1e-12
        return ""

    def _configuration(self, laser: _Laser) -> str:
        return (
            f"{laser.frequency_thz:.4f},{laser.offset_ghz:.3f},{laser.power_dbm():.2f},"
            f"{laser.part.emission():d},{laser.is_busy(self._twin.clock.now()):d},{laser.dither}"
        )

    def _configure(self, arguments: list[str]) -> str:
        if len(arguments) != 8:
            raise _Refused(101, "wrong number of arguments")
        laser = self._laser(arguments[:3])
        for name, value in zip(
            ("FREQuency", "OFFset", "POWer", "STATe", "DITher"), arguments[3:], strict=True
        ):
            _QUANTITIES[name].put(laser, value)
        self._touched(laser)
        return ""

    def _unlock(self, arguments: list[str]) -> str:
        if [one.upper() for one in arguments] != [_PASSWORD]:
            raise _Refused(201, "not authorised")
        self._level.level = 1
        return ""

    def _set_delay(self, arguments: list[str]) -> str:
        if not self._level.level:
            raise _Refused(201, "not authorised")
        self._level.delays[",".join(arguments[:-1])] = arguments[-1] if arguments else ""
        return ""


def _number(text: str, lowest: float, highest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Refused(-1, "parse failure") from None
    if not lowest <= value <= highest:
        raise _Refused(102, "illegal argument")
    return value


def _flag(text: str) -> bool:
    return bool(_number(text, 0, 1))


def _put_frequency(laser: _Laser, text: str) -> None:
    laser.frequency_thz = round(_number(text, *_FREQUENCIES_THZ), 4)
    laser.tune()


def _put_wavelength(laser: _Laser, text: str) -> None:
    wavelength_nm = _number(text, 1000.0, 2000.0)
    _put_frequency(laser, f"{SPEED_OF_LIGHT_M_PER_S / wavelength_nm / 1e3:.6f}")


def _put_offset(laser: _Laser, text: str) -> None:
    laser.offset_ghz = round(_number(text, -_OFFSET_GHZ, _OFFSET_GHZ), 3)
    laser.tune()


def _put_power(laser: _Laser, text: str) -> None:
    laser.part.set_power_w(watts_from_dbm(round(_number(text, *_POWERS_DBM), 2)))


def _put_dither(laser: _Laser, text: str) -> None:
    laser.dither = int(_flag(text))


def _actual_power(laser: _Laser) -> str:
    power_w = laser.part.power_w()
    return f"{dbm_from_watts(power_w) if power_w > 1e-7 else _DARK_DBM:.2f}"


def _wavelength_nm(frequency_thz: float) -> float:
    return SPEED_OF_LIGHT_M_PER_S / frequency_thz / 1e3


def _wavelength_limits() -> str:
    lowest_thz, highest_thz = _FREQUENCIES_THZ
    return f"{_wavelength_nm(highest_thz):.4f},{_wavelength_nm(lowest_thz):.4f}"


_QUANTITIES: Final[Mapping[str, _Quantity]] = {
    "FREQuency": _Quantity(ask=lambda one: f"{one.frequency_thz:.4f}", put=_put_frequency),
    "WAVelength": _Quantity(
        ask=lambda one: f"{_wavelength_nm(one.frequency_thz):.4f}", put=_put_wavelength
    ),
    "OFFset": _Quantity(ask=lambda one: f"{one.offset_ghz:.3f}", put=_put_offset),
    "POWer": _Quantity(ask=lambda one: f"{one.power_dbm():.2f}", put=_put_power),
    "STATe": _Quantity(
        ask=lambda one: f"{one.part.emission():d}",
        put=lambda one, text: one.part.set_emission(_flag(text)),
    ),
    "DITher": _Quantity(ask=lambda one: str(one.dither), put=_put_dither),
    "DITH": _Quantity(ask=lambda one: str(one.dither), put=_put_dither),
    "SBS:STATe": _Quantity(ask=lambda one: str(one.dither), put=_put_dither),
}

_Entry = TypeVar("_Entry")


def _with_short_forms(table: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """All names in capitals: wholly long, and wholly short; the two are not mixed."""
    found: dict[str, _Entry] = {}
    for name, entry in table.items():
        found[name.upper()] = entry
        found["".join(character for character in name if not character.islower())] = entry
    return found


def _unconnected(number: int, clock: SimulatedClock) -> LaserPart:
    """A laser whose light goes nowhere."""
    return LaserPart(
        LaserSettings(), rng=np.random.default_rng((_UNCONNECTED_SEED, number)), clock=clock
    )


def _make(place: TwinPlace) -> Twin:
    return IdPhotonicsCobriteTwin(
        clock=place.clock,
        serial=place.serial,
        lasers={n: part for n, part in place.parts.items() if isinstance(part, LaserPart)},
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"ID Photonics CoBrite": _make}
