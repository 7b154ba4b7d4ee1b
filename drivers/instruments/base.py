"""What all instrument kinds share: lifecycle, lock, logging, safe state and readback.

A kind (`drivers.instruments.laser` and its neighbours) is an abstract class whose public methods
hold everything that must never be forgotten; a vendor's driver fills in a few underscore methods.

The rules, kept here and in the kinds and never in a vendor's driver:

* A bad argument is a `LimitError` and is raised before anything is sent; the state stays as it was.
  A call that does not fit the instrument's state is an `InstrumentError`.
* One re-entrant lock around each public method, the readback of a set included. The methods that
  wait take it poll by poll, so that `make_safe` and `close` can always come in from elsewhere.
* An error in the middle of a set, an interruption included, puts the instrument into its safe
  state; the error then goes on, with a note if the safe state was not reached.
* The instrument is in its safe state, by readback, after `open` and before `close` lets go of it.
* What was set and read back is remembered. A failure of the link names the instrument, the call and
  that last good state; after a reconnection the instrument must still be in it (`_restore`).

Logger: `veilight.instruments`; what is set is logged at INFO, what is asked at DEBUG.
"""

import logging
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import ClassVar, Self, final

from drivers.errors import (
    AnswerError,
    InstrumentError,
    LinkError,
    ReadbackError,
    RefusedError,
    SafetyError,
)
from drivers.instruments.clock import Clock, SystemClock
from drivers.instruments.held import Held
from drivers.instruments.identity import Identity
from drivers.instruments.last_good import LastGood
from drivers.instruments.readback import Readback
from drivers.instruments.waiting import Waiting

__all__ = ["Instrument"]

_LOG = logging.getLogger("veilight.instruments")


class Instrument(Readback, Waiting, ABC):
    """One instrument of a bench. A context manager: `with` opens it and closes it.

    A vendor's driver implements `_open` and `_close`, what the kind asks for, and, where the kind's
    own way to the safe state is not the instrument's best, `_make_safe` and `_is_safe`. The
    underscore methods are only called with the lock held and with checked arguments; a `_set_*`
    returns when the instrument has taken the value and is never retried.

    Args:
        name: The instrument's role in the bench; messages begin with it.
        clock: Source of time for deadlines; the computer's clock by default.
    """

    kind: ClassVar[str]
    simulated: bool = False
    """Whether a simulation answers; known for sure when it is open."""
    lost_when_safe: ClassVar[tuple[str, ...]] = ()
    """First words of the settings that the safe state changes; they are never re-applied."""
    safe_deadline_s: ClassVar[float] = 0.1
    """Longest time from the order to the readback of the safe state; a slow shutter needs more."""
    others_wait: ClassVar[bool] = False
    """Whether its safe state is waited for even in a hurry, because what is made safe after it may
    not go first."""

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        self._name = name
        self._clock: Clock = SystemClock() if clock is None else clock
        self._lock = threading.RLock()
        self._identity: Identity | None = None
        self._last_good = LastGood()
        self._used: Callable[[], None] = lambda: None
        self._hurry_s: float | None = None
        self._leave_at_s = math.inf
        self._to_safe = False

    @final
    @property
    def name(self) -> str:
        """The instrument's role in the bench."""
        return self._name

    @final
    @property
    def is_open(self) -> bool:
        """Whether the instrument is connected. Does not wait for the lock."""
        return self._identity is not None

    @final
    @property
    def identity(self) -> Identity:
        """Who the instrument said it is when it was opened.

        Raises:
            InstrumentError: The instrument is closed.
        """
        identity = self._identity
        if identity is None:
            raise self._closed_error()
        return identity

    @final
    def open(self) -> Identity:
        """Connect, and put the instrument into its safe state.

        Raises:
            InstrumentError: It is open already, or `_open` failed (as the driver raised it).
            SafetyError: The safe state was not reached; the connection is given back.
        """
        with self._lock:
            if self._identity is not None:
                raise InstrumentError(f"{self._name}: is open already; close() it first")
            self._last_good.forget_all()
            try:
                identity = self._open()
            except (LinkError, AnswerError, RefusedError) as error:
                named = self._last_good.named(error, self._name, "open")
                raise named from named.__cause__
            self._identity = identity
            try:
                self.make_safe()
            except BaseException as error:
                self._release(error)
                raise
            _LOG.info("%s: opened %s", self._name, identity.text)
            return identity

    @final
    def close(self) -> None:
        """Make the instrument safe and disconnect. Does nothing when it is closed.

        The connection is given back whatever fails.

        Raises:
            SafetyError: The safe state was not reached.
            InstrumentError: The safe state was reached, but giving the connection back failed.
        """
        with self._lock:
            if self._identity is None:
                return
            try:
                self.make_safe()
            except BaseException as error:
                self._release(error)
                raise
            self._release(None)
            _LOG.info("%s: closed", self._name)

    @final
    def on_use(self, used: Callable[[], None]) -> None:
        """Have a function called at every use of the open instrument: its user lives.

        Args:
            used: takes no time and raises nothing.
        """
        self._used = used

    @final
    def hurry_after_errors(self, hurry_s: float) -> None:
        """Be one of several: after an error only a short attempt is made to get safe.

        Whoever calls this sees every error, makes all instruments safe then, and this one with
        more time once the others are.

        Args:
            hurry_s: as for `make_safe`.
        """
        self._hurry_s = hurry_s

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            # The body's error is the cause and goes on; the failure must not hide it.
            error.add_note(f"{self._name}: closing failed too: {failure}")
            _LOG.critical("%s: closing after an error failed: %s", self._name, failure)

    @final
    def make_safe(self, hurry_s: float | None = None) -> None:
        """Drive the instrument to its safe state and read it back. Allowed whenever it is open.

        Args:
            hurry_s: others wait to be made safe: after this time in s it is left, the order given
                or not; None for all the time that it needs.

        Raises:
            InstrumentError: The instrument is closed.
            SafetyError: The safe state was not read back within `safe_deadline_s`, or `hurry_s`.
        """
        with self._held("make safe"), self._hurried(hurry_s):
            try:
                self._order_safe()
                reached = self._poll(self._is_safe, self.safe_deadline_s)
            except Exception as error:
                raise SafetyError(
                    f"{self._name}: could not be made safe: {error}; "
                    "switch it off by hand before going near the light"
                ) from error
            if not reached:
                waited_s = self.safe_deadline_s if hurry_s is None else hurry_s
                raise SafetyError(
                    f"{self._name}: its readback is not the safe state {waited_s} s "
                    "after the order; switch it off by hand before going near the light"
                )
            self._forget(*self.lost_when_safe)
            self._became_safe()
            _LOG.info("%s: safe", self._name)

    def _order_safe(self) -> None:
        try:
            self._make_safe()
        except (AnswerError, LinkError, ReadbackError) as error:
            if self._clock.now() >= self._leave_at_s:
                raise
            # The one order that may be given twice: it can only make things safer.
            _LOG.warning("%s: made safe once more after: %s", self._name, error)
            self._make_safe()

    @final
    def is_safe(self) -> bool:
        """Whether the instrument's readback is its safe state.

        Raises:
            InstrumentError: The instrument is closed.
        """
        with self._held("safe state?"):
            return self._is_safe()

    @final
    def reported_errors(self) -> tuple[str, ...] | None:
        """What is in the instrument's own error report, which is empty afterwards.

        Returns:
            Its errors, the oldest first; None where it has no report, or its driver none to ask.

        Raises:
            InstrumentError: The instrument is closed.
        """
        with self._held("errors?"):
            return self._reported_errors()

    def _reported_errors(self) -> tuple[str, ...] | None:
        return None

    @abstractmethod
    def _open(self) -> Identity:
        """Connect and ask the instrument who it is; on an error nothing stays connected."""

    @abstractmethod
    def _close(self) -> None:
        """Disconnect."""

    @abstractmethod
    def _make_safe(self) -> None:
        """Order the safe state, every part of it even if one fails."""

    @abstractmethod
    def _is_safe(self) -> bool:
        """Whether the readback is the safe state."""

    def _hurried(self, hurry_s: float | None) -> AbstractContextManager[None]:
        """Let nothing that is waited for inside take longer, unless the others have to wait."""
        return self._leaving(hurry_s)

    @contextmanager
    def _leaving(self, hurry_s: float | None) -> Iterator[None]:
        before = self._leave_at_s
        self._to_safe = True
        if hurry_s is not None and not self.others_wait:
            self._leave_at_s = self._clock.now() + hurry_s
        try:
            with self._urgent(hurry_s):
                yield
        finally:
            self._leave_at_s, self._to_safe = before, False

    def _urgent(self, hurry_s: float | None) -> AbstractContextManager[None]:  # noqa: ARG002
        """Hold the link, and do not use it for longer. For transports."""
        return nullcontext()

    def _became_safe(self) -> None:
        """Forget what the kind remembers of an instrument that was active. For the kinds."""
        return

    def _held(self, action: str) -> Held:
        """Hold the lock of an open instrument: for what only asks, or checks before a set."""
        return Held(self, action)

    def _enter(self, action: str) -> None:
        self._lock.acquire()
        if self._identity is None:
            self._lock.release()
            raise self._closed_error()
        _LOG.debug("%s: %s", self._name, action)
        self._used()

    def _leave(self, action: str, error: BaseException | None) -> None:
        self._lock.release()
        if isinstance(error, LinkError | AnswerError | RefusedError):
            named = self._last_good.named(error, self._name, action)
            raise named from named.__cause__

    @contextmanager
    def _guarded(self, action: str) -> Iterator[None]:
        """Make the instrument safe on any error inside; the error goes on. With the lock held."""
        try:
            yield
        except BaseException as error:
            _LOG.error("%s: %s failed: %s", self._name, action, error)
            self._make_safe_after(error)
            raise

    @contextmanager
    def _setting(self, action: str) -> Iterator[None]:
        """Hold the lock for a set, which is logged; any error inside makes the instrument safe."""
        with self._held(action):
            _LOG.info("%s: %s", self._name, action)
            with self._guarded(action):
                yield

    def _set_kept(
        self, setting: str, text: str, apply: Callable[[], None], confirm: Callable[[], None]
    ) -> None:
        """Set something, read it back and remember it, inside `_setting`. For the kinds.

        Args:
            setting: its name, such as "power".
            text: its value with the unit.
            apply: sets it, and again after a reconnection; without the lock.
            confirm: reads it back, raises ReadbackError where it is another; without the lock.
        """
        apply()
        confirm()
        self._last_good.keep(setting, text, apply, confirm)

    def _forget(self, *settings: str) -> None:
        """Forget settings that are known to have changed, by the first words of their names."""
        self._last_good.forget(*settings)

    def _restore(self) -> None:
        """After a reconnection: make sure that the instrument is in its last good state.

        For transports, which hold the link; takes no lock of the instrument, because another
        thread may hold it and wait for the link.

        Raises:
            ReadbackError: it had forgotten settings. It was made safe, and those settings were
                applied again that do not let light through.
        """
        # The order to get safe may have been heard before the link was cleaned.
        lost = self._last_good.lost(
            spared=lambda setting: self._to_safe and setting.startswith(self.lost_when_safe)
        )
        if not lost:
            return
        self._make_safe()
        self._forget(*self.lost_when_safe)
        self._became_safe()
        self._last_good.apply(lost)
        raise ReadbackError(
            f"{self._name}: had forgotten {', '.join(lost)} after a reconnection, as after a power "
            "cut; it was made safe and set again. Switch its light on anew"
        )

    def _make_safe_after(self, error: BaseException) -> None:
        try:
            self.make_safe(self._hurry_s)
        except Exception as failure:
            error.add_note(f"{failure}")
            _LOG.critical("%s: not safe after an error: %s", self._name, failure)

    def _release(self, error: BaseException | None) -> None:
        """Disconnect after `error`, which is about to be raised, or after none."""
        self._identity = None
        try:
            self._close()
        except Exception as failure:
            _LOG.error("%s: disconnecting failed: %s", self._name, failure)
            if error is None:
                raise InstrumentError(
                    f"{self._name}: is safe, but disconnecting failed: {failure}; "
                    "check the link before opening it again"
                ) from failure
            error.add_note(f"{self._name}: disconnecting failed too: {failure}")

    def _closed_error(self) -> InstrumentError:
        return InstrumentError(f"{self._name}: the {self.kind} is closed; open() it first")
