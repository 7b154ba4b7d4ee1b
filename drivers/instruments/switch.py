"""The instrument kind switch: an optical switch with named positions."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

from drivers.errors import ConfigurationError, LimitError
from drivers.instruments.base import Instrument
from drivers.instruments.clock import Clock

__all__ = ["Switch", "SwitchLimits"]


@dataclass(frozen=True, kw_only=True)
class SwitchLimits:
    """The positions of a switch.

    Attributes:
        positions: Their names, all different.
        safe_position: The one of them in which no light gets on.

    Raises:
        ConfigurationError: A name occurs twice, or the safe position is not one of them.
    """

    positions: tuple[str, ...]
    safe_position: str

    def __post_init__(self) -> None:
        if len(set(self.positions)) != len(self.positions):
            raise ConfigurationError(
                f"switch: a position occurs twice in {list(self.positions)}; name each once"
            )
        if self.safe_position not in self.positions:
            raise ConfigurationError(
                f"switch: the safe position {self.safe_position!r} is not one of "
                f"{list(self.positions)}; name one of them"
            )


class Switch(Instrument):
    """An optical switch. Safe state: the safe position.

    Args:
        name: Role in the bench.
        limits: The positions.
        clock: Source of time; the computer's clock by default.
    """

    kind: ClassVar[str] = "switch"
    lost_when_safe: ClassVar[tuple[str, ...]] = ("position",)

    def __init__(self, name: str, *, limits: SwitchLimits, clock: Clock | None = None) -> None:
        super().__init__(name, clock=clock)
        self._limits = limits

    @final
    @property
    def limits(self) -> SwitchLimits:
        """The positions."""
        return self._limits

    @final
    def select(self, position: str) -> None:
        """Switch to `position`.

        Raises:
            LimitError: There is no such position; nothing was sent.
            ReadbackError: Another position is read back; the safe position was tried.
            InstrumentError: The switch is closed.
        """
        if position not in self._limits.positions:
            raise LimitError(
                f"{self._name}: there is no position {position!r}; the positions are "
                f"{', '.join(self._limits.positions)}"
            )
        with self._setting(f"select {position}"):
            self._set_kept(
                "position",
                position,
                partial(self._select, position),
                partial(self._confirm_position, position),
            )

    @final
    def selected(self) -> str:
        """The position, by readback.

        Raises:
            InstrumentError: The switch is closed.
        """
        with self._held("position?"):
            return self._get_selected()

    def _confirm_position(self, position: str) -> None:
        self._confirm_state("position", position, self._get_selected())

    def _make_safe(self) -> None:
        self._select(self._limits.safe_position)

    def _is_safe(self) -> bool:
        return self._get_selected() == self._limits.safe_position

    @abstractmethod
    def _select(self, position: str) -> None: ...

    @abstractmethod
    def _get_selected(self) -> str: ...
