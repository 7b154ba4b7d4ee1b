"""The link to one box: one lock around each exchange, deadlines, and no answer taken for another.

The rules, kept here and never in a driver:

* A lock covers the whole of writing and reading, also between instruments that share the link.
* Everything has a deadline.
* After a time-out, a garbled answer, stray bytes or an interruption the link is dirty: late bytes
  may come. Before it is used again it is opened anew (sockets, and what broke) or drained until it
  is quiet (serial ports), and everyone on it makes sure that the instrument is the same, in the
  same state.
* Only a query is ever sent again, once. An order is not: it may have been carried out.
* In a hurry (`urgent`) a link that is silent for a short time counts as dead until there is time.

Logger: `veilight.links`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from drivers.errors import AnswerError, InstrumentError, LinkError, LinkTimeoutError
from drivers.instruments import Clock, SystemClock
from drivers.instruments.hurry import Hurry
from drivers.transports.byte_trace import ByteTrace
from drivers.transports.reader import Reader, excerpt
from drivers.transports.streams import Buffer, ByteStream, StreamOpener

__all__ = ["Link"]

_LOG = logging.getLogger("veilight.links")
_Answer = TypeVar("_Answer")
_JOINED = 1 << 14
"""Parts of a message that are shorter than this together go out as one piece."""
_DRAINS = 100


class Link:
    """The link to one box, shared by the instruments in it.

    Attributes:
        address: as in the bench file.
        clock: for deadlines.
        timeout_s: for an exchange, unless told otherwise.
        patience: by which all deadlines are multiplied. An emulator works out where the light goes
            before it answers, and on a busy computer that takes longer than any instrument does.

    Args:
        address: as in the bench file; messages begin with it.
        opener: opens the channel.
        clock: for deadlines; the computer's by default.
        timeout_s: time for an exchange, unless told otherwise.
        quiet_s: silence after which a serial line counts as drained.
        chatty: the instrument speaks without being asked: what is left after an answer is kept for
            the next read instead of being taken as a fault.
        trace: where every byte is written.
    """

    def __init__(
        self,
        address: str,
        opener: StreamOpener,
        *,
        clock: Clock | None = None,
        timeout_s: float = 2.0,
        quiet_s: float = 0.05,
        chatty: bool = False,
        trace: ByteTrace | None = None,
    ) -> None:
        self.address = address
        self.clock: Clock = SystemClock() if clock is None else clock
        self.timeout_s = timeout_s
        self.patience = 1.0
        self._opener = opener
        self._quiet_s = quiet_s
        self._chatty = chatty
        self._trace = trace
        self._lock = threading.RLock()
        self._stream: ByteStream | None = None
        self._users: dict[str, Callable[[], None]] = {}
        self._dirty: str | None = None
        self._broken = False
        self._recovering = False
        self._sent = 0
        self._cut_off = False
        self._hurry = Hurry(self.clock.now)
        arrived = None if trace is None else self._trace_arrived
        self._reader = Reader(self.clock.now, arrived)

    @property
    def is_open(self) -> bool:
        """Whether the channel is open."""
        return self._stream is not None

    def attach(self, user: str, reconnected: Callable[[], None]) -> None:
        """Begin to use the link; the first user opens it.

        Args:
            user: name of the instrument.
            reconnected: called after the link was opened anew or drained; makes sure that the
                instrument is the same and in the same state, and raises where it is not.

        Raises:
            LinkError: the device cannot be reached, or the user is on the link already.
        """
        with self._lock:
            if user in self._users:
                raise LinkError(f"{self.address}: {user} is on this link already; close it first")
            if self._stream is None:
                self._stream = self._opener(self.patience * self.timeout_s)
                self._reader.forget()
                self._dirty = None
                self._broken = self._cut_off = False
                self._note("opened")
            self._users[user] = reconnected

    def detach(self, user: str) -> None:
        """Stop using the link; the last user closes it. Does nothing for who is not on it."""
        with self._lock:
            self._users.pop(user, None)
            if not self._users and self._stream is not None:
                self._stream.close()
                self._stream = None
                self._note("closed")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep everyone else off the link over several exchanges."""
        with self._lock:
            yield

    @contextmanager
    def urgent(self, limit_s: float | None, *, patient: bool = False) -> Iterator[None]:
        """Keep everyone else off, and be short: other links wait.

        Inside, no exchange takes longer than `limit_s` or begins after it. Once the link was silent
        so long, or was not clean by then, nothing more is tried before an exchange begins outside.

        Args:
            limit_s: in s, above 0; None for no hurry.
            patient: exchanges may begin after the limit too, as long as each is answered in time.
        """
        limit_s = None if limit_s is None else self.patience * limit_s
        with self._lock, self._hurry.within(limit_s, patient=patient):
            yield

    def send(self, *parts: Buffer, timeout_s: float | None = None) -> None:
        """Send an order that is not answered; it is never sent twice.

        Args:
            parts: the message in pieces, sent without a pause.
            timeout_s: for the whole message.

        Raises:
            LinkTimeoutError: the instrument did not take it in time.
            LinkError: the link is closed, broke, or could not be cleaned up after a fault.
        """
        with self._lock, self._shouting(parts):
            self._exchange(parts, None, timeout_s)

    def order(
        self,
        message: Buffer,
        read: Callable[[Reader], _Answer],
        timeout_s: float | None = None,
    ) -> _Answer:
        """Send an order that is answered; it is never sent twice.

        Args:
            message: the order.
            read: reads the answer; raises AnswerError where it makes no sense.
            timeout_s: for order and answer.

        Raises:
            LinkTimeoutError: no complete answer in time; the order may have been carried out.
            AnswerError: the answer makes no sense; likewise.
            LinkError: the link is closed, broke, or could not be cleaned up after a fault.
        """
        with self._lock, self._shouting((message,)):
            return self._exchange((message,), read, timeout_s)  # type: ignore[return-value]

    def ask(
        self,
        message: Buffer,
        read: Callable[[Reader], _Answer],
        timeout_s: float | None = None,
    ) -> _Answer:
        """Ask for something, changing nothing; asked once more where there was no good answer.

        Args:
            message: the query.
            read: reads the answer; raises AnswerError where it makes no sense.
            timeout_s: for query and answer, each time.

        Raises:
            LinkTimeoutError: no complete answer in time, twice.
            AnswerError: the answer makes no sense, twice.
            LinkError: the link is closed, broke, or could not be cleaned up after a fault.
        """
        with self._lock:
            try:
                return self._exchange((message,), read, timeout_s)  # type: ignore[return-value]
            except (LinkError, AnswerError) as error:
                if self._recovering or self._stream is None or self._hurry.over:
                    raise
                _LOG.warning("%s: asked again after: %s", self.address, error)
                try:
                    return self._exchange((message,), read, timeout_s)  # type: ignore[return-value]
                except (LinkError, AnswerError) as again:
                    again.add_note(f"before that: {error}")
                    raise

    def pause(self, duration_s: float) -> None:
        """Leave the instrument time to speak, or to stop speaking.

        Raises:
            LinkTimeoutError: others wait, and there is not so much time.
        """
        if self._hurry.left_s < duration_s:
            raise self._left_for_later()
        self.clock.sleep(duration_s)

    def discard(self) -> bytes:
        """Drop what has arrived and was not read; the first of it."""
        with self._lock:
            left = self._reader.left
            self._reader.forget()
            return left + (b"" if self._stream is None else self._stream.discard())

    @contextmanager
    def _shouting(self, parts: tuple[Buffer, ...]) -> Iterator[None]:
        """In a hurry an order goes out even where the link cannot be cleaned in time.

        All that is ordered in a hurry makes safe, and an instrument that is not heard may well
        hear. Nobody knows whether it obeyed, so the error stays.
        """
        sent = self._sent
        try:
            yield
        except (LinkError, AnswerError):
            unsent = self._sent == sent and self._dirty is not None and not self._recovering
            if unsent and self._hurry.on and self._stream is not None and not self._cut_off:
                with suppress(LinkError):
                    self._put(self._stream, parts, self._hurry.cut(self.timeout_s))
            raise

    def _exchange(
        self,
        parts: tuple[Buffer, ...],
        read: Callable[[Reader], _Answer] | None,
        timeout_s: float | None,
    ) -> _Answer | None:
        """One message and its answer. Whatever goes wrong in between leaves the link dirty."""
        stream = self._ready()
        limit_s = self._limit_s(timeout_s)
        try:
            self._reader.begin(stream, limit_s)
            self._sent += not self._recovering
            self._put(stream, parts, limit_s)
            if read is None:
                return None
            answer = read(self._reader)
            if not self._chatty and self._reader.left:
                raise AnswerError(f"more came than was asked for: {excerpt(self._reader.left)}")
        except (LinkError, AnswerError) as error:
            # A plug that was pulled: draining does not bring the line back.
            self._broken = self._broken or (
                isinstance(error, LinkError) and not isinstance(error, LinkTimeoutError)
            )
            self._soil(str(error))
            if isinstance(error, LinkTimeoutError):
                self._hurry.give_up()
            raise type(error)(f"{self.address}: {_without(self.address, error)}") from error
        except BaseException as error:
            self._soil(f"interrupted by {type(error).__name__}")
            raise
        return answer

    def _put(self, stream: ByteStream, parts: tuple[Buffer, ...], limit_s: float) -> None:
        if self._trace is not None:
            for part in parts:
                self._trace.write(">", self.address, part)
        if len(parts) > 1 and (stream.messages or sum(map(len, parts)) <= _JOINED):
            parts = (b"".join(parts),)
        for part in parts:
            stream.send(part, limit_s)

    def _limit_s(self, timeout_s: float | None) -> float:
        """Time for an exchange; where the link is being cleaned in a hurry, what is left of it."""
        wanted_s = self.patience * (self.timeout_s if timeout_s is None else timeout_s)
        limit_s = self._hurry.cut(wanted_s)
        return min(limit_s, self._hurry.left_s) if self._recovering else limit_s

    def _left_for_later(self) -> LinkTimeoutError:
        after = "" if self._dirty is None else f", after: {self._dirty}"
        return LinkTimeoutError(f"{self.address}: is left until there is more time for it{after}")

    def _ready(self) -> ByteStream:
        """The stream, clean."""
        if self._stream is None:
            raise LinkError(f"{self.address}: the link is closed; open the instrument first")
        if self._hurry.over or (self._recovering and self._hurry.left_s <= 0):
            raise self._left_for_later()
        if not self._hurry.on and not self._recovering:
            self._hurry.at_leisure()
        if not self._chatty and not self._recovering and self._dirty is None:
            stray = self._reader.left or self._stream.discard()
            if stray:
                self._soil(f"bytes came that nobody asked for: {excerpt(stray)}")
        if self._dirty is not None and not self._recovering:
            self._recover()
        return self._stream

    def _soil(self, reason: str) -> None:
        self._dirty = reason
        self._note(f"dirty: {reason}")

    def _recover(self) -> None:
        """Open the link anew or drain it, then let everyone on it look at the instrument."""
        reason = self._dirty
        _LOG.warning("%s: cleaning the link after: %s", self.address, reason)
        assert self._stream is not None
        self._recovering = True
        try:
            if self._stream.reopens or self._broken:
                self._stream.close()
                self._cut_off = True
                self._stream = self._opener(self._hurry.cut(self.patience * self.timeout_s))
                self._broken = self._cut_off = False
            else:
                self._drain(self._stream)
            self._reader.forget()
            self._dirty = None
            self._note("clean")
            for reconnected in tuple(self._users.values()):
                reconnected()
        except BaseException as error:
            self._dirty = reason
            if isinstance(error, LinkTimeoutError):
                self._hurry.give_up()
            if isinstance(error, InstrumentError):
                error.add_note(f"{self.address}: while cleaning the link after: {reason}")
            raise
        finally:
            self._recovering = False

    def _drain(self, stream: ByteStream) -> None:
        for _ in range(_DRAINS):
            self.pause(self._quiet_s)
            if not stream.discard():
                return
        raise LinkError(
            f"{self.address}: the instrument does not stop sending; check the baud rate, or switch "
            "it off and on"
        )

    def _note(self, what: str) -> None:
        _LOG.debug("%s: %s", self.address, what)
        if self._trace is not None:
            self._trace.write("!", self.address, what.encode())

    def _trace_arrived(self, data: memoryview) -> None:
        assert self._trace is not None
        self._trace.write("<", self.address, data)


def _without(address: str, error: Exception) -> str:
    """The message without the address, which another layer may have put before it."""
    return str(error).removeprefix(f"{address}: ")
