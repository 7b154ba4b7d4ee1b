"""The instrument kind bias controller: holds modulators at a point of their transfer curve."""

from abc import abstractmethod
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import ClassVar, final

from drivers.errors import InstrumentError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range, check_channel, check_count, check_holds_zero

__all__ = ["BiasController", "BiasLimits", "BiasPoint"]


class BiasPoint(Enum):
    """A point of a Mach-Zehnder modulator's transfer curve."""

    NULL = "null"
    """Darkest: the field is linear in the drive, sign included."""
    QUADRATURE = "quadrature"
    """Half way: the power is linear in the drive."""
    PEAK = "peak"
    """Brightest."""


@dataclass(frozen=True, kw_only=True)
class BiasLimits:
    """What a bias controller may be set to.

    Attributes:
        channels: Number of modulators.
        volts: Bias voltage in V of each; holds the safe state, 0 V.

    Raises:
        ConfigurationError: No channel, or 0 V is not allowed.
    """

    channels: int
    volts: Range

    def __post_init__(self) -> None:
        check_count("bias controller", "channels", self.channels)
        check_holds_zero("bias controller", "volts", "V", self.volts)


class BiasController(Instrument):
    """A bias controller. Safe state: no loop holds a channel, and 0 V on all.

    A channel's voltage is either set by `set_voltage` or held by a loop from `lock` to `unlock`.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "bias controller"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("bias",)
    voltage_tolerance_v: ClassVar[float] = 0.01
    """Largest difference in V between a voltage set and the one read back."""

    def __init__(self, name: str, *, limits: BiasLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits
        self._loops: set[int] = set()

    @final
    @property
    def limits(self) -> BiasLimits:
        """What may be set."""
        return self._limits

    @final
    def set_voltage(self, channel: int, volts: float) -> None:
        """Set a channel's bias in V.

        Raises:
            LimitError: No such channel, or NaN or outside the limits; nothing was sent.
            ReadbackError: Another voltage is read back; the controller was made safe.
            InstrumentError: A loop holds the channel, or the controller is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        self._limits.volts.check(self._name, f"bias of channel {channel}", "V", volts)
        with self._held("set bias"):
            if channel in self._loops:
                raise InstrumentError(
                    f"{self._name}: a loop holds channel {channel}, its bias cannot be set to "
                    f"{volts} V; unlock({channel}) first"
                )
            with self._setting(f"set bias of channel {channel} to {volts} V"):
                self._set_kept(
                    f"bias of channel {channel}",
                    f"{volts:.6g} V",
                    partial(self._set_voltage, channel, volts),
                    partial(self._confirm_voltage, channel, volts),
                )

    @final
    def voltage(self, channel: int) -> float:
        """A channel's bias in V, by readback.

        Raises:
            LimitError: No such channel.
            InstrumentError: The controller is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._held(f"bias of channel {channel}?"):
            return self._get_voltage(channel)

    @final
    def lock(self, channel: int, point: BiasPoint) -> None:
        """Start the loop that finds and holds `point`. Ask `is_locked` whether it holds.

        Raises:
            LimitError: No such channel; nothing was sent.
            InstrumentError: The controller is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._setting(f"lock channel {channel} to {point.value}"):
            self._loops.add(channel)
            self._forget(f"bias of channel {channel}")
            self._lock_to(channel, point)

    @final
    def is_locked(self, channel: int) -> bool:
        """Whether the channel's loop has found its point and holds it.

        Raises:
            LimitError: No such channel.
            InstrumentError: The controller is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._held(f"channel {channel} locked?"):
            return self._is_locked(channel)

    @final
    def unlock(self, channel: int) -> None:
        """Stop the channel's loop; the voltage stays where it is.

        Raises:
            LimitError: No such channel; nothing was sent.
            ReadbackError: The loop goes on by readback; the controller was made safe.
            InstrumentError: The controller is closed.
        """
        check_channel(self._name, channel, self._limits.channels)
        with self._setting(f"unlock channel {channel}"):
            self._unlock(channel)
            self._confirm_state(f"channel {channel} locked", False, self._is_locked(channel))
            self._loops.discard(channel)

    def _became_safe(self) -> None:
        self._loops.clear()

    def _confirm_voltage(self, channel: int, volts: float) -> None:
        found_v, tolerance_v = self._get_voltage(channel), self.voltage_tolerance_v
        self._confirm(f"bias of channel {channel}", "V", volts, found_v, tolerance_v)

    def _make_safe(self) -> None:
        steps = []
        for channel in range(self._limits.channels):
            steps.append(lambda channel=channel: self._unlock(channel))
            steps.append(lambda channel=channel: self._set_voltage(channel, 0.0))
        self._attempt_all(steps)

    def _is_safe(self) -> bool:
        return all(
            not self._is_locked(channel)
            and abs(self._get_voltage(channel)) <= self.voltage_tolerance_v
            for channel in range(self._limits.channels)
        )

    @abstractmethod
    def _set_voltage(self, channel: int, volts: float) -> None: ...

    @abstractmethod
    def _get_voltage(self, channel: int) -> float: ...

    @abstractmethod
    def _lock_to(self, channel: int, point: BiasPoint) -> None: ...

    @abstractmethod
    def _is_locked(self, channel: int) -> bool: ...

    @abstractmethod
    def _unlock(self, channel: int) -> None:
        """Stop the loop; nothing to do where none runs."""
