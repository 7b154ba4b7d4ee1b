"""Settings of an instrument in a bench file: those of its link, and those of its driver."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from drivers.errors import ConfigurationError
from drivers.settings_tables import changed

if TYPE_CHECKING:
    from drivers.bench.registry import InstrumentEntry

__all__ = ["LinkSettings", "NoSettings", "link_settings", "own_settings"]

_Own = TypeVar("_Own")


@dataclass(frozen=True, kw_only=True)
class LinkSettings:
    """The settings that every instrument with a link has.

    Args:
        timeout_s: time for an exchange; 0 for the driver's own.
        baud: of a serial line; 0 for the driver's own.
        library: VISA library: `@py`, `@ivi`, or the path of a vendor's; empty for `@py`, and for
            this program's own sockets where the address is a raw socket.
        trace: file to which every byte is written; empty for none.
    """

    timeout_s: float = 0.0
    baud: int = 0
    library: str = ""
    trace: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.timeout_s <= 3600:
            raise ConfigurationError(f"timeout_s is {self.timeout_s}; it must be 0 to 3600 s")
        if not 0 <= self.baud <= 4_000_000:
            raise ConfigurationError(f"baud is {self.baud}; it must be 0 to 4000000")


_LINK_KEYS = tuple(LinkSettings.__dataclass_fields__)


def link_settings(entry: "InstrumentEntry") -> LinkSettings:
    """The settings of an entry's link.

    Raises:
        ConfigurationError: a value of the wrong type or out of range.
    """
    own = {key: value for key, value in entry.settings.items() if key in _LINK_KEYS}
    return changed(LinkSettings(), own, "settings")


def own_settings(usual: _Own, entry: "InstrumentEntry") -> _Own:
    """The settings of an entry's driver.

    Args:
        usual: the driver's settings dataclass with its defaults.
        entry: the entry.

    Raises:
        ConfigurationError: an unknown key, a value of the wrong type, or one that is refused.
    """
    own = {key: value for key, value in entry.settings.items() if key not in _LINK_KEYS}
    return changed(usual, own, "settings")


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """For drivers without settings of their own."""
