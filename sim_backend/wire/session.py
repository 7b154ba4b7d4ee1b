"""What a twin is to whoever carries bytes to it: sessions that are fed, and that answer in time.

A twin is one emulated instrument, a session one connection to it. Neither knows sockets. Time is
the bench's simulated clock: an answer may be due later, or when something has happened.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from drivers.transports.serial_stream import SerialSettings
from sim_backend.scene.clock import SimulatedClock

__all__ = ["Session", "Twin", "TwinPlace"]


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """Bytes that are due at a time, and when a condition holds."""

    data: bytes
    at_s: float
    when: Callable[[], bool] | None


class Session(ABC):
    """One connection to a twin. Not thread-safe: who carries the bytes holds the bench's lock.

    Attributes:
        finished: the twin hangs up once what it said has gone out.

    Args:
        clock: simulated time.
    """

    finished: bool = False

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._answers: deque[_Answer] = deque()

    @property
    def is_busy(self) -> bool:
        """Whether a message is still carried out, so that the next one has to wait."""
        return False

    @property
    def has_answers(self) -> bool:
        """Whether answers are queued, due or not."""
        return bool(self._answers)

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Take bytes from the client, in any pieces; never raises."""

    def progress(self) -> None:
        """Go on with what had to wait; called before every look at the answers."""
        return

    def take(self) -> bytes:
        """What may be sent now, in order; empty where nothing is due."""
        self.progress()
        due = []
        while self._answers and self._is_due(self._answers[0]):
            due.append(self._answers.popleft().data)
        return due[0] if len(due) == 1 else b"".join(due)

    def take_message(self) -> bytes:
        """The next answer alone, for buses that mark its last byte; empty where none is due."""
        self.progress()
        if not (self._answers and self._is_due(self._answers[0])):
            return b""
        return self._answers.popleft().data

    def end_message(self) -> None:
        """The bus marked the last byte as the end of a message; by default that means nothing."""
        return

    def interrupt(self) -> None:
        """A message came before the answers were fetched: they are lost (IEEE 488.2, 6.3.2.3)."""
        self._answers.clear()

    def clear(self) -> None:
        """Device clear (IEEE 488.2, 5.8): what came and what would be said is forgotten."""
        self._answers.clear()

    def next_at(self) -> float | None:
        """Simulated time in s at which the next answer is due; None where that is not known."""
        if not self._answers or self._answers[0].when is not None:
            return None
        return self._answers[0].at_s

    def close(self) -> None:
        """The client has gone."""
        self._answers.clear()

    def say(
        self, data: bytes, *, after_s: float = 0.0, when: Callable[[], bool] | None = None
    ) -> None:
        """Queue an answer behind those that are queued.

        Args:
            data: the bytes.
            after_s: simulated time in s until it is due.
            when: it is not due before this holds.
        """
        self._answers.append(_Answer(data=data, at_s=self._clock.now() + after_s, when=when))

    def _is_due(self, answer: _Answer) -> bool:
        # The clock adds up steps: a rounding must not cost another one.
        if self._clock.now() < answer.at_s - 1e-12:
            return False
        return answer.when is None or answer.when()


class Twin(ABC):
    """One emulated instrument.

    Attributes:
        model: what it is, for people.
        line: how its serial line is set; None for instruments on a network.
    """

    model: str
    line: SerialSettings | None = None

    @abstractmethod
    def session(self) -> Session:
        """A new connection."""

    def served_at(self, host: str, port: int) -> str:
        """Where clients find the twin, as bench files write it; told when it is put behind a port.

        Args:
            host: of the listening socket.
            port: TCP port.
        """
        return f"TCPIP::{host}::{port}::SOCKET"


@dataclass(frozen=True, kw_only=True)
class TwinPlace:
    """What a twin is made from.

    Args:
        clock: simulated time.
        serial: its serial number.
        parts: by channel, the part of the scene that it controls; see
            `sim_backend.instruments.parts`; a tuple of two where an input and an output have the
            same number. Channels without a part are not connected.
        settings: of the instruments in the bench file, by channel.
    """

    clock: SimulatedClock
    serial: str
    parts: Mapping[int, object]
    settings: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
