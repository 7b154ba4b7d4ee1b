"""The instrument kind optical amplifier: a doped fibre with a pump, never pumped without a seed.

A fibre amplifier pumped without light to amplify stores its energy and gives it off as a giant
pulse, which destroys detectors and itself (Siegman, Lasers, chapter 26; Agrawal, Fiber-Optic
Communication Systems, chapter 7).
"""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from drivers.errors import SafetyError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range

__all__ = ["AmplifierLimits", "OpticalAmplifier"]


@dataclass(frozen=True, kw_only=True)
class AmplifierLimits:
    """What an amplifier may be set to, and the seed that it needs.

    Attributes:
        gain_db: Gain in dB of power.
        seed_power_w: Input power in W from the lowest at which it may be pumped to the highest
            that it bears.
    """

    gain_db: Range
    seed_power_w: Range


class OpticalAmplifier(Instrument):
    """A fibre amplifier. Safe state: pump off.

    The seed is looked at when the pump is switched on, when the gain is set with the pump on, and
    by `check_seed`, which the bench calls as often as it can while light is on. It is not an
    interlock: a seed that fails between two looks is the hardware's to catch.

    Args:
        name: Role in the bench.
        limits: What may be set, and the seed that is needed.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "optical amplifier"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("pump",)
    others_wait: ClassVar[bool] = True
    gain_tolerance_db: ClassVar[float] = 0.1
    """Largest difference in dB between the gain set and the one read back."""

    def __init__(self, name: str, *, limits: AmplifierLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> AmplifierLimits:
        """What may be set, and the seed that is needed."""
        return self._limits

    @final
    def set_gain_db(self, gain_db: float) -> None:
        """Set the gain in dB of power. With the pump on, the seed is looked at first.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            SafetyError: The pump was on without a seed in range; it is off now.
            ReadbackError: Another gain is read back; the pump is off.
            InstrumentError: The amplifier is closed.
        """
        self._limits.gain_db.check(self._name, "gain", "dB", gain_db)
        with self._setting(f"set gain {gain_db} dB"):
            if self._get_pump():
                self._need_seed()
            self._set_kept(
                "gain",
                f"{gain_db:.6g} dB",
                partial(self._set_gain_db, gain_db),
                partial(self._confirm_gain, gain_db),
            )

    @final
    def gain_db(self) -> float:
        """The set point of the gain in dB, by readback.

        Raises:
            InstrumentError: The amplifier is closed.
        """
        with self._held("gain?"):
            return self._get_gain_db()

    @final
    def seed_power_w(self) -> float:
        """The input power in W, from the amplifier's monitor.

        Raises:
            InstrumentError: The amplifier is closed.
        """
        with self._held("seed power?"):
            return self._get_seed_power()

    @final
    def check_seed(self) -> float:
        """Look at the seed, and switch the pump off unless it is in range.

        Returns:
            The input power in W.

        Raises:
            SafetyError: The seed is not in range; the pump is off, whatever it was before.
            InstrumentError: The amplifier is closed.
        """
        with self._held("check seed"), self._guarded("check seed"):
            return self._need_seed()

    @final
    def set_pump(self, on: bool) -> None:
        """Switch the pump on or off.

        Raises:
            SafetyError: Switching on without a seed in range; the pump is off.
            ReadbackError: The other state is read back; switching it off was tried.
            InstrumentError: The amplifier is closed.
        """
        with self._setting(f"set pump {'on' if on else 'off'}"):
            if on:
                self._need_seed()
            self._set_kept(
                "pump",
                "on" if on else "off",
                partial(self._set_pump, on),
                partial(self._confirm_pump, on),
            )

    @final
    def pump(self) -> bool:
        """Whether the pump is on, by readback.

        Raises:
            InstrumentError: The amplifier is closed.
        """
        with self._held("pump?"):
            return self._get_pump()

    @final
    def output_power_w(self) -> float:
        """The output power in W, from the amplifier's monitor.

        Raises:
            InstrumentError: The amplifier is closed.
        """
        with self._held("output power?"):
            return self._get_output_power()

    @final
    def interlock_closed(self) -> bool | None:
        """Whether its interlock allows light, by readback; None where it cannot say.

        The interlock is hardware and acts by itself. The bench asks so as to stay dark once it has
        opened, until an operator allows light again.

        Raises:
            InstrumentError: The amplifier is closed.
        """
        with self._held("interlock?"):
            return self._get_interlock()

    def _need_seed(self) -> float:
        seed_w = self._get_seed_power()
        needed = self._limits.seed_power_w
        if seed_w not in needed:
            raise SafetyError(
                f"{self._name}: the seed power is {seed_w} W, pumping needs {needed.lowest} to "
                f"{needed.highest} W; bring the seed into range before the pump"
            )
        return seed_w

    def _confirm_gain(self, gain_db: float) -> None:
        self._confirm("gain", "dB", gain_db, self._get_gain_db(), self.gain_tolerance_db)

    def _confirm_pump(self, on: bool) -> None:
        self._confirm_state("pump", on, self._get_pump())

    def _get_interlock(self) -> bool | None:
        """Whether the interlock is closed; None where the instrument cannot be asked."""
        return None

    def _make_safe(self) -> None:
        self._set_pump(False)

    def _is_safe(self) -> bool:
        return not self._get_pump()

    @abstractmethod
    def _set_gain_db(self, gain_db: float) -> None: ...

    @abstractmethod
    def _get_gain_db(self) -> float: ...

    @abstractmethod
    def _get_seed_power(self) -> float: ...

    @abstractmethod
    def _set_pump(self, on: bool) -> None: ...

    @abstractmethod
    def _get_pump(self) -> bool: ...

    @abstractmethod
    def _get_output_power(self) -> float: ...
