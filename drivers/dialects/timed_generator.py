"""What drivers of generators share that cannot be asked whether they have played.

Owns the end of a play: a software-triggered play counts as over after its duration on the driver's
clock. Armed for the line an output stays armed until `finish` or `stop`.
"""

from abc import abstractmethod
from functools import partial

from drivers.instruments import Clock, GeneratorLimits, Identity, WaveformGenerator
from drivers.transports.link import Link
from drivers.transports.wired import Wired

__all__ = ["TimedGenerator"]

_SHORT_PLAY_S = 0.02
"""A play that is not longer is waited for, so that nobody finds the output still playing."""


class TimedGenerator(Wired, WaveformGenerator):
    """One output, which plays once when triggered and rests at the idle level otherwise.

    Args:
        name: role in the bench.
        limits: what may be set; one channel.
        link: to the box.
        clock: for the duration of a play.
        simulated: whether an emulator answers.
    """

    safe_deadline_s = 0.5
    reports_end = False

    def __init__(
        self,
        name: str,
        *,
        limits: GeneratorLimits,
        link: Link,
        clock: Clock | None = None,
        simulated: bool = False,
    ) -> None:
        super().__init__(name, limits=limits, clock=clock)
        self._wire(link, simulated=simulated)
        self._idle_v = 0.0
        self._duration_s = 0.0
        self._ends_s: float | None = None

    @abstractmethod
    def _forget_play(self) -> None:
        """Take nothing for granted of what the box holds."""

    @abstractmethod
    def _holds_play(self) -> bool:
        """Whether the output has the play selected, by readback, and not the rest."""

    @abstractmethod
    def _rest(self) -> None:
        """Play the idle level on and on, and call `_forget_end`."""

    def _open(self) -> Identity:
        self._idle_v = 0.0
        self._forget_end()
        self._forget_play()
        return super()._open()

    def _make_safe(self) -> None:
        # The output first: before the first rest nobody knows what the box plays.
        self._attempt_all([partial(self._set_output, 0, False), self._stop])

    def _set_idle(self, channel: int, volts: float) -> None:
        del channel  # there is one
        self._idle_v = volts
        self._rest()

    def _begun(self) -> None:
        """A play has begun that takes `_duration_s`; a short one is waited for."""
        # It began before the instrument answered, so it is over by then.
        self._ends_s = self._clock.now() + self._duration_s
        if self._duration_s <= _SHORT_PLAY_S:
            self._clock.sleep(self._duration_s)

    def _forget_end(self) -> None:
        """No play was begun by software."""
        self._ends_s = None

    def _is_armed(self) -> bool:
        if not self._holds_play():
            return False
        return self._ends_s is None or self._clock.now() < self._ends_s

    def _stop(self) -> None:
        self._rest()
