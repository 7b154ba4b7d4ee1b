"""Twin of the Thorlabs MPC320 fibre polarisation controller: three motorised paddles."""

import cmath
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.errors import ConfigurationError
from drivers.transports.serial_stream import SerialSettings
from sim_backend.instruments.parts import PolarisationPart
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import Jones
from sim_backend.scene.polarisation import retarder
from sim_backend.wire.session import Session, Twin, TwinPlace

__all__ = ["MAKERS", "ThorlabsMPC320Twin"]

_HIGHEST: Final = 1370
_COUNTS_PER_S: Final = 400 / 170 * _HIGHEST
_RAD_PER_COUNT: Final = math.radians(170) / _HIGHEST
_LOOPS: Final = (math.pi / 2, math.pi, math.pi / 2)
_CHANNELS: Final = {1: 0, 2: 1, 4: 2}
_UPDATE_S: Final = 0.1
_FORGET_S: Final = 0.5
_PATIENCE_S: Final = 5.0
_TO_HOST: Final = bytes((0x01, 0x50))
_LONG_TO_HOST: Final = bytes((0x81, 0x50))
_CONNECTED, _HOMED, _ENABLED = 0x100, 0x400, 0x80000000


@dataclass
class _Paddle:
    """A motor and the fibre loops on it; `moving` says what the move was ordered as."""

    counts: float = 0.0
    target: float = 0.0
    moving: str = ""
    homed: bool = False


class ThorlabsMPC320Twin(Twin):
    """Three paddles with a quarter, a half and a quarter wave, whose axes turn with the paddles.

    The scene's controller has retarders of fixed axes, three of which reach every rotation: they
    are set to that of the paddles, also on the way. A move is ordered to an enabled paddle and to
    a place it can reach, else nothing happens.

    Args:
        clock: simulated time.
        serial: serial number, said in the bytes that the maker keeps for itself.
        controller: part of the scene; None for a controller without a fibre.
        number: serial number as the maker counts.
    """

    line = SerialSettings(baud=115200, flow="rts-cts")

    def __init__(
        self,
        *,
        clock: SimulatedClock,
        serial: str,
        controller: PolarisationPart | None,
        number: int = 38000001,
    ) -> None:
        if controller is not None and controller.settings.channels < len(_LOOPS):
            raise ConfigurationError(
                f"the scene's polarisation controller has {controller.settings.channels} "
                f"retarders; the twin of the MPC320 needs at least {len(_LOOPS)} of them"
            )
        self.model = "Thorlabs MPC320"
        self.clock = clock
        self.paddles = tuple(_Paddle() for _ in _LOOPS)
        self.enabled = 0
        self.parameters = (0, 50, 0, 25, 25, 25)
        self._serial = serial.encode("latin-1", "replace")[:60]
        self._number = number
        self._controller = controller
        clock.on_advance(self._advance)

    def session(self) -> Session:
        """See `Twin.session`."""
        return _AptSession(self)

    def information(self) -> bytes:
        """What it says about its hardware."""
        return struct.pack(
            "<I8sHI60sHHH", self._number, b"MPC320", 44, 0x010002, self._serial, 1, 0, 3
        )

    def move(self, index: int, target: float, kind: str) -> bool:
        """Begin a move; whether it does."""
        if not (self.enabled >> index & 1 and 0 <= target <= _HIGHEST):
            return False
        paddle = self.paddles[index]
        paddle.target, paddle.moving = target, kind
        return True

    def stop(self, index: int) -> None:
        """Stop a paddle where it is."""
        self.paddles[index].moving = ""

    def status(self, index: int) -> bytes:
        """Where a paddle is and what it does."""
        paddle = self.paddles[index]
        bits = _CONNECTED | (_HOMED if paddle.homed else 0)
        bits |= _ENABLED if self.enabled >> index & 1 else 0
        moves = bool(paddle.moving)
        if moves:
            forward = paddle.target >= paddle.counts
            jogs = paddle.moving == "jog"
            bits |= (0x40 if jogs else 0x10) if forward else (0x80 if jogs else 0x20)
        return struct.pack(
            "<HiHhI",
            1 << index,
            round(paddle.counts),
            self.parameters[1] if moves else 0,
            120 if moves else 0,
            bits,
        )

    def _advance(self, duration_s: float) -> None:
        """Turn the paddles that move."""
        moving = [paddle for paddle in self.paddles if paddle.moving]
        for paddle in moving:
            step = duration_s * _COUNTS_PER_S * self.parameters[1] / 100
            left = paddle.target - paddle.counts
            if abs(left) > step:
                paddle.counts += math.copysign(step, left)
                continue
            paddle.counts = paddle.target
            paddle.homed = paddle.homed or paddle.moving == "home"
            paddle.moving = ""
        if moving and self._controller is not None:
            turned: Jones = np.eye(2, dtype=np.complex128)
            for paddle, retardance in zip(self.paddles, _LOOPS, strict=True):
                turned = retarder(retardance, paddle.counts * _RAD_PER_COUNT) @ turned
            angles = np.zeros(self._controller.settings.channels)
            angles[:3] = _retardances(turned)
            self._controller.set_angles(angles)


def _retardances(rotation: Jones) -> tuple[float, float, float]:
    """Retardances at 0, 45 and 0 degrees, in this order, that make a rotation.

    Euler's decomposition: Nielsen and Chuang, Quantum Computation and Quantum Information,
    theorem 4.1, with the x axis in place of y.
    """
    upper, lower = complex(rotation[0, 0]), complex(rotation[1, 0])
    total = -2 * cmath.phase(upper) if abs(upper) > 1e-12 else 0.0
    difference = 2 * (cmath.phase(lower) + math.pi / 2) if abs(lower) > 1e-12 else 0.0
    middle = 2 * math.atan2(abs(lower), abs(upper))
    return (total - difference) / 2, middle, (total + difference) / 2


class _AptSession(Session):
    """The serial line: messages of six bytes, or six and data."""

    def __init__(self, twin: ThorlabsMPC320Twin) -> None:
        super().__init__(twin.clock)
        self._twin = twin
        self._input = b""
        self._fed_s = twin.clock.now()
        self._ordered: dict[int, str] = {}
        self._updates = False
        self._update_s = 0.0
        self._acknowledged_s = 0.0
        self._short: dict[int, Callable[[int, int], None]] = {
            0x0005: lambda *_: self._say_long(0x0006, twin.information()),
            0x0011: self._start_updates,
            0x0012: self._stop_updates,
            0x0210: self._enable,
            0x0211: self._tell_enabled,
            0x0443: self._home,
            0x0465: self._stop,
            0x046A: self._jog,
            0x0490: self._tell_status,
            0x0492: self._acknowledge,
            0x0531: lambda *_: self._say_long(0x0532, struct.pack("<6H", *twin.parameters)),
        }
        self._long: dict[int, Callable[[bytes], None]] = {
            0x0448: self._move_relative,
            0x0453: self._move_absolute,
            0x0530: self._set_parameters,
        }

    def feed(self, data: bytes) -> None:
        """See `Session.feed`."""
        if self._clock.now() - self._fed_s > _FORGET_S:
            self._input = b""
        self._fed_s = self._clock.now()
        self._input += data
        while len(self._input) >= 6:
            number, first, second, to, _ = struct.unpack("<HBBBB", self._input[:6])
            length = (first | second << 8) if to & 0x80 else 0
            if len(self._input) < 6 + length:
                break
            body, self._input = self._input[6 : 6 + length], self._input[6 + length :]
            if to & 0x80 and number in self._long:
                self._long[number](body)
            elif not to & 0x80 and number in self._short:
                self._short[number](first, second)

    def progress(self) -> None:
        """Tell the ends of moves, and what is to be told regularly."""
        for index, kind in tuple(self._ordered.items()):
            if self._twin.paddles[index].moving:
                continue
            del self._ordered[index]
            if kind == "home":
                self._say_short(0x0444, 1 << index)
            elif kind == "jog":
                self._say_short(0x0464, 1 << index)
            else:
                self._say_long(0x0491, self._twin.status(index))
        now_s = self._clock.now()
        if self._updates and now_s - self._acknowledged_s > _PATIENCE_S:
            self._updates = False
        if self._updates and now_s >= self._update_s:
            self._update_s = now_s + _UPDATE_S
            for index in range(len(_LOOPS)):
                self._say_long(0x0491, self._twin.status(index))

    def _say_short(self, number: int, first: int = 0, second: int = 0) -> None:
        self.say(struct.pack("<HBB", number, first, second) + _TO_HOST)

    def _say_long(self, number: int, data: bytes) -> None:
        self.say(struct.pack("<HH", number, len(data)) + _LONG_TO_HOST + data)

    def _start_updates(self, *_: int) -> None:
        self._updates = True
        self._acknowledged_s = self._update_s = self._clock.now()

    def _stop_updates(self, *_: int) -> None:
        self._updates = False

    def _acknowledge(self, *_: int) -> None:
        self._acknowledged_s = self._clock.now()

    def _enable(self, mask: int, state: int) -> None:
        """The mask replaces the one before; state 2 is used by nobody and does nothing."""
        if state == 1 and mask < 8:
            self._twin.enabled = mask

    def _tell_enabled(self, mask: int, _: int) -> None:
        if mask in _CHANNELS:
            self._say_short(0x0212, mask, 1 if self._twin.enabled & mask else 2)

    def _tell_status(self, mask: int, _: int) -> None:
        if mask in _CHANNELS:
            self._say_long(0x0491, self._twin.status(_CHANNELS[mask]))

    def _home(self, mask: int, _: int) -> None:
        self._begin(mask, lambda _: float(self._twin.parameters[2]), "home")

    def _jog(self, mask: int, direction: int) -> None:
        if mask in _CHANNELS and direction in (1, 2):
            step = self._twin.parameters[3 + _CHANNELS[mask]]
            self._begin(mask, lambda now: now + (step if direction == 1 else -step), "jog")

    def _stop(self, mask: int, _: int) -> None:
        if mask in _CHANNELS:
            self._twin.stop(_CHANNELS[mask])
            self._ordered.pop(_CHANNELS[mask], None)
            self._say_short(0x0466, mask)

    def _move_relative(self, data: bytes) -> None:
        if len(data) == 6:
            mask, counts = struct.unpack("<Hi", data)
            self._begin(mask, lambda now: now + counts, "move")

    def _move_absolute(self, data: bytes) -> None:
        if len(data) == 6:
            mask, counts = struct.unpack("<Hi", data)
            self._begin(mask, lambda _: float(counts), "move")

    def _begin(self, mask: int, target: Callable[[float], float], kind: str) -> None:
        index = _CHANNELS.get(mask)
        if index is not None and self._twin.move(
            index, target(self._twin.paddles[index].counts), kind
        ):
            self._ordered[index] = kind

    def _set_parameters(self, data: bytes) -> None:
        if len(data) != 12:
            return
        values = struct.unpack("<6H", data)
        if 10 <= values[1] <= 100 and all(value <= _HIGHEST for value in values[2:]):
            self._twin.parameters = values


def _make(place: TwinPlace) -> Twin:
    part = place.parts.get(1)
    return ThorlabsMPC320Twin(
        clock=place.clock,
        serial=place.serial,
        controller=part if isinstance(part, PolarisationPart) else None,
    )


MAKERS: dict[str, Callable[[TwinPlace], Twin]] = {"Thorlabs MPC320": _make}
