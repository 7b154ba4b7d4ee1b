"""Thorlabs MPC320 fibre polarisation controller: three motorised paddles.

Facts: the byte rows that PnPQ's and QMI's drivers agree on, both tested on the device.
"""

import math
import struct
from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from drivers.bench.registry import BuildContext, InstrumentEntry
from drivers.catalogue import DriverModel
from drivers.dialects.apt import Apt, Message, long_message, short_message
from drivers.errors import ConfigurationError, InstrumentError
from drivers.instruments import (
    Clock,
    Identity,
    Instrument,
    PolarisationController,
    PolarisationLimits,
    Range,
)
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import own_settings
from drivers.transports.wired import Wired, refuse_stranger

__all__ = ["LINE", "MODELS", "MPC320Settings", "ThorlabsMPC320"]

LINE = SerialSettings(baud=115200, flow="rts-cts")
_MASKS: Final = (1, 2, 4)
_ALL: Final = 7
_HIGHEST_DEGREES: Final = 170.0
_HIGHEST_COUNTS: Final = 1370
_RAD_PER_COUNT: Final = math.radians(_HIGHEST_DEGREES) / _HIGHEST_COUNTS
_NEAR_COUNTS: Final = 2
_FASTEST_DEGREES_PER_S: Final = 400.0
_PAUSE_S: Final = 0.2
_START_S: Final = 2.0
_HOME_S: Final = 20.0
_ENABLED: Final = 1

_SET_ENABLED, _ASK_ENABLED, _GET_ENABLED = 0x0210, 0x0211, 0x0212
_HOME, _MOVE = 0x0443, 0x0453
_ASK_STATUS, _GET_STATUS, _ACKNOWLEDGE = 0x0490, 0x0491, 0x0492
_SET_PARAMETERS, _ASK_PARAMETERS, _GET_PARAMETERS = 0x0530, 0x0531, 0x0532
_STATUS = struct.Struct("<HiHhI")
_PARAMETERS = struct.Struct("<6H")


@dataclass(frozen=True, kw_only=True)
class MPC320Settings:
    """How the paddles move.

    Args:
        velocity_percent: of 400 degrees/s, 10 to 100.
        home: whether all paddles turn to their home position on opening.
        approach_rad: before a paddle goes to a lower angle it goes lower by so much and then up, so
            that every angle is reached from below; the paddles have hysteresis. 0 for not.
    """

    velocity_percent: int = 100
    home: bool = False
    approach_rad: float = 0.0

    def __post_init__(self) -> None:
        if not 10 <= self.velocity_percent <= 100:
            raise ConfigurationError(
                f"velocity_percent is {self.velocity_percent}; it must be 10 to 100"
            )
        if not 0 <= self.approach_rad <= 0.5:
            raise ConfigurationError(f"approach_rad is {self.approach_rad}; it must be 0 to 0.5")


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """What the controller moves by."""

    unused: int
    velocity_percent: int
    home: int
    first_jog: int
    second_jog: int
    third_jog: int


@dataclass(frozen=True, kw_only=True)
class _Status:
    """Where a paddle is."""

    counts: int
    moving: bool


class ThorlabsMPC320(Wired, PolarisationController):
    """Three paddles, each of which turns the axis of its fibre loops by its angle.

    What the loops do to the light is set by the fibre and their number; an angle is no retardance.

    Args:
        name: role in the bench.
        limits: three angles of 0 to 170 degrees, in rad.
        link: to the controller, made with `chatty=True`.
        clock: for polling.
        settings: how the paddles move.
        simulated: whether an emulator answers.
    """

    turns_axes: ClassVar[bool] = True
    poll_interval_s = 0.02
    angle_tolerance_rad: ClassVar[float] = 0.01

    def __init__(
        self,
        name: str,
        *,
        limits: PolarisationLimits,
        link: Link,
        clock: Clock | None = None,
        settings: MPC320Settings | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._settings = MPC320Settings() if settings is None else settings
        self._apt = Apt(link, self._clock, pause_s=_PAUSE_S)
        self._homed = False

    def _greet(self) -> Identity:
        found = self._apt.hardware()
        identity = Identity(
            maker="Thorlabs", model=found.model, serial=found.serial, firmware=found.firmware
        )
        refuse_stranger(self.name, identity, "Thorlabs,MPC320$", "Thorlabs MPC320")
        self._set_velocity()
        self._enable_all()
        if self._settings.home and not self._homed:
            self._home_all()
        return identity

    def _farewell(self) -> None:
        self._homed = False

    def _set_angles(self, rad: NDArray[np.float64]) -> None:
        targets = [round(float(angle) / _RAD_PER_COUNT) for angle in rad]
        with self._link.held():
            found = [self._status(paddle).counts for paddle in range(len(targets))]
            below = round(self._settings.approach_rad / _RAD_PER_COUNT)
            first = {
                paddle: max(0, target - below)
                for paddle, target in enumerate(targets)
                if below and target < found[paddle] - _NEAR_COUNTS
            }
            self._go(first)
            # A paddle that is where it should be stays there: every order costs a pause.
            self._go(
                {
                    paddle: target
                    for paddle, target in enumerate(targets)
                    if first.get(paddle, found[paddle]) != target
                }
            )

    def _get_angles(self) -> NDArray[np.float64]:
        with self._link.held():
            counts = [self._status(paddle).counts for paddle in range(len(_MASKS))]
            self._apt.tell(short_message(_ACKNOWLEDGE))
        return np.array(counts, dtype=np.float64) * _RAD_PER_COUNT

    def _go(self, targets: dict[int, int]) -> None:
        """Turn paddles to counts, all at the same time, and wait until they are there."""
        for paddle, counts in targets.items():
            self._apt.order(long_message(_MOVE, struct.pack("<Hi", _MASKS[paddle], counts)))
        speed = _FASTEST_DEGREES_PER_S * self._settings.velocity_percent / 100
        until_s = self._clock.now() + _HIGHEST_DEGREES / speed + _START_S
        left = dict(targets)
        while left:
            left = {
                paddle: counts for paddle, counts in left.items() if not self._at(paddle, counts)
            }
            if left and self._clock.now() >= until_s:
                raise InstrumentError(
                    f"{self.name}: paddles {[paddle + 1 for paddle in left]} did not reach "
                    f"{list(left.values())} counts within {_HIGHEST_DEGREES / speed + _START_S:g} s"
                    "; look whether something holds them"
                )
            if left:
                self._apt.tell(short_message(_ACKNOWLEDGE))
                self._clock.sleep(self.poll_interval_s)

    def _at(self, paddle: int, counts: int) -> bool:
        status = self._status(paddle)
        return not status.moving and abs(status.counts - counts) <= _NEAR_COUNTS

    def _status(self, paddle: int) -> _Status:
        mask = _MASKS[paddle]

        def status(said: Message) -> _Status | None:
            if said.number != _GET_STATUS:
                return None
            if len(said.data) != _STATUS.size:
                raise garbled(f"a status of {_STATUS.size} bytes", said.data)
            channel, counts, velocity, current, _ = _STATUS.unpack(said.data)
            if channel != mask:
                return None
            # At rest one of the two is 0; while it moves neither is.
            return _Status(counts=counts, moving=velocity != 0 and current != 0)

        return self._apt.ask(short_message(_ASK_STATUS, mask), status)

    def _set_velocity(self) -> None:
        """Set the velocity; the home position and the jogs stay as they are."""
        found = self._parameters()
        wanted = replace(found, velocity_percent=self._settings.velocity_percent)
        if wanted == found:
            return
        values = (
            wanted.unused,
            wanted.velocity_percent,
            wanted.home,
            wanted.first_jog,
            wanted.second_jog,
            wanted.third_jog,
        )
        self._apt.order(long_message(_SET_PARAMETERS, _PARAMETERS.pack(*values)))
        taken = self._parameters()
        if taken != wanted:
            raise InstrumentError(
                f"{self.name}: the velocity was set to {wanted.velocity_percent} % but reads back "
                f"as {taken.velocity_percent} %; switch the controller off and on"
            )

    def _parameters(self) -> _Parameters:
        def parameters(said: Message) -> _Parameters | None:
            if said.number != _GET_PARAMETERS:
                return None
            if len(said.data) != _PARAMETERS.size:
                raise garbled(f"parameters of {_PARAMETERS.size} bytes", said.data)
            unused, velocity, home, first, second, third = _PARAMETERS.unpack(said.data)
            return _Parameters(
                unused=unused,
                velocity_percent=velocity,
                home=home,
                first_jog=first,
                second_jog=second,
                third_jog=third,
            )

        return self._apt.ask(short_message(_ASK_PARAMETERS), parameters)

    def _enable_all(self) -> None:
        """Enable all paddles in one message: another would disable those that it leaves out."""
        self._apt.order(short_message(_SET_ENABLED, _ALL, _ENABLED))
        for paddle, mask in enumerate(_MASKS):

            def state(said: Message, mask: int = mask) -> int | None:
                return said.second if (said.number, said.first) == (_GET_ENABLED, mask) else None

            if self._apt.ask(short_message(_ASK_ENABLED, mask), state) != _ENABLED:
                raise InstrumentError(
                    f"{self.name}: paddle {paddle + 1} cannot be enabled; switch the controller "
                    "off and on"
                )

    def _home_all(self) -> None:
        home = self._parameters().home
        for mask in _MASKS:
            self._apt.order(short_message(_HOME, mask))
        until_s = self._clock.now() + _HOME_S
        while not all(self._at(paddle, home) for paddle in range(len(_MASKS))):
            if self._clock.now() >= until_s:
                raise InstrumentError(
                    f"{self.name}: the paddles are not at their home position after {_HOME_S:g} s; "
                    "look whether something holds them"
                )
            self._apt.tell(short_message(_ACKNOWLEDGE))
            self._clock.sleep(self.poll_interval_s)
        self._homed = True


def identify(link: Link) -> Identity:
    """Ask for the hardware, which all controllers of the family answer.

    Args:
        link: open, made with `chatty=True`.

    Raises:
        AnswerError: it is no controller of the family.
        LinkError: see `Link.ask`.
    """
    found = Apt(link, link.clock, pause_s=_PAUSE_S).hardware()
    return Identity(
        maker="Thorlabs", model=found.model, serial=found.serial, firmware=found.firmware
    )


def _controller(entry: InstrumentEntry, context: BuildContext) -> Instrument:
    assert isinstance(context.limits, PolarisationLimits)
    return ThorlabsMPC320(
        entry.role,
        limits=context.limits,
        link=context.links.link(entry, serial=LINE, timeout_s=1.0, chatty=True),
        clock=context.clock,
        settings=own_settings(MPC320Settings(), entry),
        simulated=context.simulated,
    )


MODELS = (
    DriverModel(
        model="Thorlabs MPC320",
        backend="serial",
        kind=PolarisationController,
        limits=PolarisationLimits(
            channels=3,
            angle_rad=Range(lowest=0.0, highest=_HIGHEST_COUNTS * _RAD_PER_COUNT),
        ),
        make=_controller,
        confidence="high",
        identity="Thorlabs,MPC320",
        source="the byte rows on which PnPQ and QMI agree; Thorlabs APT protocol",
        serial=LINE,
        probe=identify,
        settings={
            "velocity_percent": "of 400 degrees/s, 10 to 100 (100)",
            "home": "turn all paddles to their home position on opening (false)",
            "approach_rad": "reach every angle from below, from so much lower; 0 for not (0.0)",
        },
    ),
)
