"""The instrument kind attenuator: a variable optical attenuator with a shutter."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock
from drivers.instruments.limits import Range

__all__ = ["Attenuator", "AttenuatorLimits"]


@dataclass(frozen=True, kw_only=True)
class AttenuatorLimits:
    """What an attenuator may be set to.

    Attributes:
        attenuation_db: Attenuation in dB of power, insertion loss not counted. The highest is
            part of the safe state.
    """

    attenuation_db: Range


class Attenuator(Instrument):
    """A variable attenuator. Safe state: shutter closed and highest attenuation.

    An attenuator without a shutter of its own implements it by its darkest setting.

    Args:
        name: Role in the bench.
        limits: What may be set.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "attenuator"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("attenuation", "shutter")
    attenuation_tolerance_db: ClassVar[float] = 0.1
    """Largest difference in dB between the attenuation set and the one read back."""

    def __init__(self, name: str, *, limits: AttenuatorLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> AttenuatorLimits:
        """What may be set."""
        return self._limits

    @final
    def set_attenuation_db(self, attenuation_db: float) -> None:
        """Set the attenuation in dB of power.

        Raises:
            LimitError: NaN or outside the limits; nothing was sent.
            ReadbackError: Another attenuation is read back; the attenuator was made safe.
            InstrumentError: The attenuator is closed.
        """
        self._limits.attenuation_db.check(self._name, "attenuation", "dB", attenuation_db)
        with self._setting(f"set attenuation {attenuation_db} dB"):
            self._set_kept(
                "attenuation",
                f"{attenuation_db:.6g} dB",
                partial(self._set_attenuation_db, attenuation_db),
                partial(self._confirm_attenuation, attenuation_db),
            )

    @final
    def attenuation_db(self) -> float:
        """The attenuation in dB, by readback.

        Raises:
            InstrumentError: The attenuator is closed.
        """
        with self._held("attenuation?"):
            return self._get_attenuation_db()

    @final
    def set_shutter(self, open_: bool) -> None:
        """Open or close the shutter.

        Raises:
            ReadbackError: The other state is read back; the attenuator was made safe.
            InstrumentError: The attenuator is closed.
        """
        with self._setting(f"set shutter {'open' if open_ else 'closed'}"):
            self._set_kept(
                "shutter",
                "open" if open_ else "closed",
                partial(self._set_shutter, open_),
                partial(self._confirm_shutter, open_),
            )

    @final
    def shutter_open(self) -> bool:
        """Whether the shutter is open, by readback.

        Raises:
            InstrumentError: The attenuator is closed.
        """
        with self._held("shutter?"):
            return self._get_shutter()

    def _confirm_attenuation(self, attenuation_db: float) -> None:
        found_db, tolerance_db = self._get_attenuation_db(), self.attenuation_tolerance_db
        self._confirm("attenuation", "dB", attenuation_db, found_db, tolerance_db)

    def _confirm_shutter(self, open_: bool) -> None:
        self._confirm_state("shutter open", open_, self._get_shutter())

    def _make_safe(self) -> None:
        highest_db = self._limits.attenuation_db.highest
        self._attempt_all(
            [lambda: self._set_shutter(False), lambda: self._order_attenuation_db(highest_db)]
        )

    def _is_safe(self) -> bool:
        short_db = self._limits.attenuation_db.highest - self._get_attenuation_db()
        return not self._get_shutter() and abs(short_db) <= self.attenuation_tolerance_db

    def _order_attenuation_db(self, attenuation_db: float) -> None:
        """Order an attenuation behind the closed shutter: nobody waits until it is reached."""
        self._set_attenuation_db(attenuation_db)

    @abstractmethod
    def _set_attenuation_db(self, attenuation_db: float) -> None: ...

    @abstractmethod
    def _get_attenuation_db(self) -> float: ...

    @abstractmethod
    def _set_shutter(self, open_: bool) -> None: ...

    @abstractmethod
    def _get_shutter(self) -> bool: ...
