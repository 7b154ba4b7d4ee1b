"""The last good state of an instrument: what was set and read back.

Owns the memory of it: for the messages of a link's failure, and to make sure of the state after a
reconnection.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from drivers.errors import InstrumentError, ReadbackError

__all__ = ["LastGood"]


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """One setting that was read back."""

    text: str
    apply: Callable[[], None]
    confirm: Callable[[], None]


class LastGood:
    """The settings that were read back, by name. Not thread-safe: the instrument's lock is held."""

    def __init__(self) -> None:
        self._settings: dict[str, _Setting] = {}

    def keep(
        self, setting: str, text: str, apply: Callable[[], None], confirm: Callable[[], None]
    ) -> None:
        """Remember a setting that was just read back.

        Args:
            setting: its name, such as "power".
            text: its value with the unit.
            apply: sets it again.
            confirm: reads it back, raises ReadbackError where it is another.
        """
        self._settings[setting] = _Setting(text=text, apply=apply, confirm=confirm)

    def forget(self, *first_words: str) -> None:
        """Forget settings by the first words of their names."""
        for known in [name for name in self._settings if name.startswith(first_words)]:
            del self._settings[known]

    def forget_all(self) -> None:
        """Know nothing."""
        self._settings.clear()

    def lost(self, *, spared: Callable[[str], bool]) -> list[str]:
        """Read every setting back.

        Args:
            spared: whether a setting, by its name, is not asked for now.

        Returns:
            Names of those that read back as something else.
        """
        lost: list[str] = []
        for name, setting in tuple(self._settings.items()):
            if spared(name):
                continue
            try:
                setting.confirm()
            except ReadbackError:
                lost.append(name)
        return lost

    def apply(self, names: Iterable[str]) -> None:
        """Set those again that are known still, and read them back.

        Raises:
            ReadbackError: one was not taken.
        """
        for name in names:
            setting = self._settings.get(name)
            if setting is not None:
                setting.apply()
                setting.confirm()

    def named(self, error: InstrumentError, device: str, action: str) -> InstrumentError:
        """The error with the instrument, what it was asked to do, and its last good state.

        Args:
            error: of the link; one that is named already is given back as it is.
            device: the instrument's role.
            action: what was being done.
        """
        if getattr(error, "names_instrument", False):
            return error
        known = ", ".join(f"{name} {one.text}" for name, one in self._settings.items())
        named = type(error)(
            f"{device}: {action}: {error}; last good state: {known or 'nothing set yet'}"
        )
        named.names_instrument = True  # type: ignore[attr-defined]
        named.__cause__ = error
        for note in getattr(error, "__notes__", ()):
            named.add_note(note)
        return named
