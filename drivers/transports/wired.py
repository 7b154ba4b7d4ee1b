"""What all drivers of real instruments share: the link, the greeting, and life after a fault of it.

A vendor's driver is a kind with this mix-in before it::

    class KeysightN7711A(Wired, Laser):
        def __init__(self, name, *, limits, link, clock=None, channel=1, simulated=False):
            super().__init__(name, limits=limits, clock=clock)
            self._wire(link, simulated=simulated)

        def _greet(self) -> Identity: ...
"""

import logging
import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

from drivers.errors import InstrumentError
from drivers.instruments import Identity
from drivers.transports.link import Link
from drivers.transports.scpi import Scpi

__all__ = ["TWIN_PATIENCE", "TWIN_SERIAL", "Wired", "refuse_stranger"]

_LOG = logging.getLogger("veilight.instruments")

TWIN_SERIAL = "SIM"
"""How serial numbers of emulated instruments begin, so that no record of one counts as real."""
TWIN_PATIENCE = 20.0
"""How much longer than for an instrument the answer of an emulator is waited for."""


def refuse_stranger(name: str, identity: Identity, pattern: str, wanted: str) -> None:
    """Refuse an instrument of another make or model.

    Args:
        name: role of the instrument, for the message.
        identity: who answered.
        pattern: regular expression that must match the beginning of `maker,model`, in any case.
        wanted: what was expected, for people, such as "Keysight N7711A or N7714A".

    Raises:
        InstrumentError: it does not match; both are shown.
    """
    found = f"{identity.maker},{identity.model}"
    if re.match(pattern, found, re.IGNORECASE) is None:
        raise InstrumentError(
            f"{name}: {wanted} was expected, {found!r} answers; two addresses may be exchanged, or "
            "the bench file names another model"
        )


class Wired(ABC):
    """The part of the life of an instrument that has to do with its link; a mix-in."""

    simulated: bool
    others_wait: ClassVar[bool]
    _link: Link
    _twin: bool
    _experimental: str = ""

    def _wire(self, link: Link, *, simulated: bool = False) -> None:
        """Remember the link; nothing is opened.

        Args:
            link: to the box, shared by all that are in it.
            simulated: whether the bench file says that an emulator answers.
        """
        self._link = link
        self._twin = simulated
        if simulated:
            link.patience = TWIN_PATIENCE
        self.simulated = simulated

    def warn_experimental(self, why: str) -> None:
        """Say on every connecting that the driver is experimental.

        Args:
            why: what its facts rest on.
        """
        self._experimental = why

    @abstractmethod
    def _greet(self) -> Identity:
        """Settings of the session, and who answers; called at `open` and after every reconnection.

        It must refuse another make or model, and must not change what the instrument emits.
        """

    def _farewell(self) -> None:
        """What is to be sent before the link is given back; the instrument is safe by now."""
        return

    def _reported_errors(self) -> tuple[str, ...] | None:
        scpi = getattr(self, "_scpi", None) or getattr(getattr(self, "_box", None), "scpi", None)
        if not isinstance(scpi, Scpi):
            return None
        return tuple(f"{number} {text}" for number, text in scpi.errors())

    def _open(self) -> Identity:
        name = self.name  # type: ignore[attr-defined]
        self._link.attach(name, self._reconnected)
        try:
            identity = self._greet()
        except BaseException:
            self._link.detach(name)
            raise
        self.simulated = self._twin or identity.serial.upper().startswith(TWIN_SERIAL)
        if self._experimental:
            _LOG.warning(
                "%s: the driver of %s %s is experimental: %s; watch it closely",
                name,
                identity.maker,
                identity.model,
                self._experimental,
            )
        return identity

    def _close(self) -> None:
        try:
            self._farewell()
        finally:
            self._link.detach(self.name)  # type: ignore[attr-defined]

    def _urgent(self, hurry_s: float | None) -> AbstractContextManager[None]:
        return self._link.urgent(hurry_s, patient=self.others_wait)

    def _reconnected(self) -> None:
        """The link was opened anew or drained: is it the same instrument, in the same state?"""
        identity = self._greet()
        before = self._identity  # type: ignore[attr-defined]
        if before is None:  # still opening
            return
        if identity != before:
            raise InstrumentError(
                f"{self.name}: {before.text!r} was there before the link failed, "  # type: ignore[attr-defined]
                f"{identity.text!r} answers now; look at the cables"
            )
        self._restore()  # type: ignore[attr-defined]
