"""Keysight's N77xx boxes: lasers, attenuators, power meters and switches with one remote control.

Source: Keysight N77xx Series Programming Guide, 7th edition. `*OPC?` of these boxes does not wait:
it says at once whether anything is pending, and is polled.
"""

from drivers.errors import InstrumentError
from drivers.instruments import Clock, Identity
from drivers.transports.link import Link
from drivers.transports.reader import garbled
from drivers.transports.scpi import Scpi, parse_number
from drivers.transports.wired import refuse_stranger

__all__ = ["N77xx", "as_argument"]

_POLL_S = 5e-3


def as_argument(value: float) -> str:
    """A number as it is sent: twelve digits, such as `1.55E-06`."""
    return f"{value:.12G}"


class N77xx:
    """The dialogue with a box.

    Args:
        name: role of the instrument, for messages.
        link: to the box.
        clock: for polling.
        models: regular expression for the models, such as `N773[1-4]A`.
    """

    def __init__(self, name: str, link: Link, clock: Clock, models: str) -> None:
        self.scpi = Scpi(link)
        self._name = name
        self._clock = clock
        self._models = models

    def greet(self) -> Identity:
        """Empty the error queue and see who answers.

        Raises:
            InstrumentError: another maker or model.
        """
        self.scpi.clear()
        identity = self.scpi.identity()
        pattern = rf"(Keysight|Agilent) Technologies,(?:{self._models})"
        refuse_stranger(self._name, identity, pattern, f"Keysight {self._models}")
        return identity

    def numbers(self, *queries: str) -> list[float]:
        """Ask for several numbers in one message.

        Args:
            queries: such as `:SOUR1:POW:UNIT?` and `:SOUR1:POW?`.

        Raises:
            AnswerError: not as many numbers come back.
            RefusedError: the box reports errors.
        """
        answer = self.scpi.query(";".join(queries))
        fields = answer.split(";")
        if len(fields) != len(queries):
            raise garbled(f"{len(queries)} numbers", answer.encode())
        return [parse_number(field.encode()) for field in fields]

    def is_idle(self, slot: int | None = None) -> bool:
        """Whether nothing is pending in a slot; without one, in the whole box."""
        return self.scpi.flag("*OPC?" if slot is None else f":SLOT{slot}:OPC?")

    def wait_idle(self, timeout_s: float, slot: int | None = None) -> None:
        """Wait until nothing is pending.

        Args:
            timeout_s: longest time.
            slot: where; None for the whole box.

        Raises:
            InstrumentError: something is still pending then.
        """
        if not self.settles(timeout_s, slot):
            raise InstrumentError(
                f"{self._name}: is still busy after {timeout_s:g} s; look at its display"
            )

    def settles(self, timeout_s: float, slot: int | None = None) -> bool:
        """Wait until nothing is pending; whether that was reached.

        Args:
            timeout_s: longest time.
            slot: where; None for the whole box.
        """
        until_s = self._clock.now() + timeout_s
        while not self.is_idle(slot):
            if self._clock.now() >= until_s:
                return False
            self._clock.sleep(_POLL_S)
        return True
